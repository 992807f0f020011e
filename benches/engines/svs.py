"""SVS (PyPI: scalable-vs): Vamana over f32 or f16 rows, and over LVQ codes.

The LVQ codes of SVS are closed source and refuse to run on processors other than Intel's: the library ends the process.
There this engine is reported as unavailable. Parameters: L2, alpha 1.2, window of the build 64 for 32 edges a row and
128 for 64. Prefetch lookahead 4, the default of ``VamanaSearchParameters``, is set because an index made by ``build``
has 1, which is a sixth slower once the rows exceed the cache (20,000 rows of 384).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from benches.data import F32, I64, K
from benches.engines.base import GRAPH_STEPS, Engine, Setting, Sweep, along

if TYPE_CHECKING:
    from collections.abc import Sequence


class Svs(Engine):
    """Vamana over uncompressed rows."""

    name = "SVS Vamana f32 R32"
    module = "svs"
    distribution = "scalable-vs"
    sweeps: ClassVar[Sequence[Sweep]] = (along("window", GRAPH_STEPS),)
    degree: ClassVar[int] = 32
    dtype: ClassVar[npt.DTypeLike] = np.float32
    index: Any

    def build(self, folder: Path, threads: int) -> None:
        import svs

        parameters = svs.VamanaBuildParameters(graph_max_degree=self.degree, window_size=2 * self.degree, alpha=1.2)
        self.index = svs.Vamana.build(parameters, self.source(folder), svs.DistanceType.L2, num_threads=threads)

    def source(self, folder: Path) -> Any:
        """Return what the index is built of."""
        return np.load(folder / "rows.npy").astype(self.dtype, copy=False)

    def set(self, setting: Setting) -> None:
        import svs

        window = int(setting["window"])
        self.index.search_parameters = svs.VamanaSearchParameters(
            svs.SearchBufferConfig(window, int(setting.get("capacity", window))), prefetch_lookahead=4, prefetch_step=1
        )

    def set_threads(self, threads: int) -> None:
        self.index.num_threads = threads

    def one(self, query: F32) -> Any:
        return self.index.search(query, K)

    def batch(self, queries: F32) -> I64:
        return np.asarray(self.index.search(queries, K)[0], np.int64)

    def describe(self) -> str:
        return f"L2, graph_max_degree {self.degree}, window_size {2 * self.degree}, alpha 1.2"


class SvsDegree64(Svs):
    """Twice the edges."""

    name = "SVS Vamana f32 R64"
    degree = 64


class SvsHalf(Svs):
    """Rows as f16: the most compact form that SVS offers on every processor and that still reaches .99."""

    name = "SVS Vamana f16 R32"
    dtype = np.float16


class SvsLvq(Svs):
    """LVQ4x8: the graph is walked with 4-bit codes, and what the buffer holds is ranked with 8 bits more.

    A buffer of more rows than the window gives the second ranking more to choose from, hence two sweeps.
    """

    name = "SVS Vamana LVQ4x8 R32"
    sweeps = (
        along("window", GRAPH_STEPS),
        tuple({"window": window, "capacity": window + max(10, window // 2)} for window in GRAPH_STEPS),
    )

    @classmethod
    def unavailable(cls) -> str | None:
        if "GenuineIntel" not in Path("/proc/cpuinfo").read_text():
            return "not supported on this processor (the LVQ codes of SVS run on Intel's only)"
        return super().unavailable()

    def convert(self, folder: Path) -> None:
        import svs

        svs.write_vecs(np.load(folder / "rows.npy"), str(folder / "rows.fvecs"))

    def source(self, folder: Path) -> Any:
        import svs

        vectors = svs.VectorDataLoader(str(folder / "rows.fvecs"), svs.DataType.float32)
        return svs.LVQLoader(vectors, primary=4, residual=8, padding=32, strategy=svs.LVQStrategy.Auto)


class SvsLvqDegree64(SvsLvq):
    """Twice the edges."""

    name = "SVS Vamana LVQ4x8 R64"
    degree = 64
