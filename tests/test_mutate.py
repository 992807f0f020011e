"""A thousand mutated databases, briefly. `python -m tests.mutate` opens as many as one likes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests import oracle
from tests.mutate import harness, mutations

if TYPE_CHECKING:
    from pathlib import Path


def test_no_mutated_database_crashes_hangs_or_eats_memory() -> None:
    figures = harness.run(1_000, oracle.run_seed(), beside=4)
    assert figures.failures == []
    assert figures.mutated == 1_000
    assert figures.with_errors > 300, "most mutations do damage: otherwise the test shows nothing"


@pytest.mark.parametrize("mode", harness.MODES)
def test_a_file_that_has_grown_by_a_hole_costs_no_memory(tmp_path: Path, mode: str) -> None:
    sound = tmp_path / "sound"
    mutations.build(sound, oracle.run_seed())
    child = harness.Child()
    try:
        shutil.copytree(sound, tmp_path / "copy")
        clean = child.use(tmp_path / "copy", mode, 60.0)
        assert not isinstance(clean, str)
        for file in mutations.files(sound):
            copy = tmp_path / f"{file.parent.name}-{file.name}"
            shutil.copytree(sound, copy)
            mutations.stretch(copy / file.relative_to(sound))
            found = child.use(copy, mode, 60.0)
            assert not isinstance(found, str), f"{file}: {found}"
            # The peak is that of the process: the first file that is read whole ends the test.
            assert found["peak"] < harness.memory_max_kib(clean["peak"]), file
            shutil.rmtree(copy)
    finally:
        child.end()
