"""One answer on every machine: each instruction set finds the same neighbours in the same files."""

from __future__ import annotations

import json
import os
import subprocess

import drift
import numpy as np

from tests import oracle, simd
from tests.conftest import ROOT, Sample

SEARCH = """
import json, sys, numpy as np, drift
queries = np.load(sys.argv[2])
with drift.connect(sys.argv[1], read_only=True) as db:
    c = db["packages"]
    found, exact = c.search(queries, k=10), c.search(queries, k=10, exact=True)
    print(json.dumps([found.ids.tolist(), exact.ids.tolist(), exact.distances.tolist()]))
"""


def test_every_instruction_set_gives_the_same_answer(path: str, python: str, sample: Sample) -> None:
    with drift.connect(path) as db:
        db.create_collection("packages", dim=384).load(sample.table)
    np.save(f"{path}.npy", sample.queries)
    answers = {}
    for name in simd.available():
        done = subprocess.run(
            [python, "-c", SEARCH, path, f"{path}.npy"],
            env={**os.environ, "DRIFT_SIMD": name},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"DRIFT_SIMD={name}: {done.stderr}"
        answers[name] = json.loads(done.stdout)
    found, exact, distances = answers["scalar"]
    for name, (other_found, other_exact, other_distances) in answers.items():
        np.testing.assert_allclose(other_distances, distances, atol=2e-6, err_msg=name)
        assert oracle.recall(other_exact, exact) >= 0.999, f"{name}: only ties in the last bit may differ"
        assert oracle.recall(other_found, found) >= 0.999, f"{name}: codes are compared bit for bit"
