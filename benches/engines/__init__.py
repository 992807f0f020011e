"""drift and its peers behind one interface, one module a library.

Each is set up as its own documentation advises for this kind of data; only what its searches take is swept. An engine
is made in a process of its own (`benches.worker`), so nothing of one is in the memory of another.
"""

from benches.engines import alayalite, drift, faiss, hnswlib, lancedb, scann, svs, usearch, zvec
from benches.engines.base import Engine, Setting, Sweep

__all__ = ["ENGINES", "Engine", "Setting", "Sweep"]

ENGINES: dict[str, type[Engine]] = {
    "drift": drift.Drift,
    "drift-memory": drift.DriftMemory,
    "drift-sq8": drift.DriftSq8,
    "drift-avx2": drift.DriftAvx2,
    "svs-lvq": svs.SvsLvq,
    "svs-lvq-r64": svs.SvsLvqDegree64,
    "svs-f32": svs.Svs,
    "svs-f32-r64": svs.SvsDegree64,
    "svs-f16": svs.SvsHalf,
    "alayalite-hnsw": alayalite.AlayaLite,
    "alayalite-qg": alayalite.AlayaLiteQuantised,
    "hnswlib": hnswlib.Hnswlib,
    "scann": scann.Scann,
    "faiss-ivf-pqfs": faiss.FaissIvfPqFastScan,
    "faiss-ivf-rabitqfs": faiss.FaissIvfRaBitQFastScan,
    "faiss-ivf-sq8": faiss.FaissIvfSq8,
    "faiss-hnsw": faiss.FaissHnsw,
    "usearch": usearch.Usearch,
    "usearch-i8": usearch.UsearchI8,
    "zvec-hnsw": zvec.Zvec,
    "zvec-hnsw-rabitq": zvec.ZvecRabitq,
    "zvec-ivf-rabitq": zvec.ZvecIvfRabitq,
    "lancedb-hnsw-sq": lancedb.LanceHnsw,
    "lancedb-ivf-pq": lancedb.LancePq,
}
"""By the name on the command line, in the order of a run."""
