"""Parquet files that are damaged: an error that names the file, nothing printed, and the collection as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import drift
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift import _cli

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 50


def _write(file: Path) -> bytes:
    vectors = pa.FixedSizeListArray.from_arrays(np.ones(ROWS * 4, dtype=np.float32), 4)
    table = pa.table({"id": range(ROWS), "embedding": vectors, "name": [f"n{i}" for i in range(ROWS)]})
    pq.write_table(table, file)
    return file.read_bytes()


def _footer(whole: bytes) -> range:
    """Return where the footer is: before its length and the mark."""
    return range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole) - 8)


def _flipped_footers(whole: bytes) -> Iterator[bytes]:
    for at in _footer(whole):
        yield whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]


def _changed_anywhere(whole: bytes) -> Iterator[bytes]:
    rng = oracle.rng(47)
    for _ in range(500):
        changed = bytearray(whole)
        for at in rng.integers(4, len(whole) - 8, size=rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        yield bytes(changed)


@pytest.mark.parametrize("damage", [_flipped_footers, _changed_anywhere])
def test_a_damaged_file_is_refused_by_name_or_read_whole_and_prints_nothing(
    db: drift.Database, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: object
) -> None:
    file = tmp_path / "own.parquet"
    whole = _write(file)
    c = db.create_collection("docs", dim=4, metric="l2")
    said = []
    for damaged in damage(whole):  # type: ignore[operator]
        file.write_bytes(damaged)
        before = len(c)
        try:
            c.load(file, metadata=True)
        except drift.InvalidArgumentError as error:
            said.append(str(error))
            assert len(c) == before
    assert len(said) > 100
    assert all("own.parquet" in text for text in said)
    assert capfd.readouterr() == ("", "")


def test_the_command_says_in_one_line_that_the_decoder_gave_a_file_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.parquet"
    whole = _write(file)
    database = str(tmp_path / "db")
    assert _cli.main(["create", database, "docs", "--dim", "4"]) == 0
    capfd.readouterr()
    gave_up = []
    for damaged in _flipped_footers(whole):
        file.write_bytes(damaged)
        code = _cli.main(["load", database, "docs", str(file)])
        out, line = capfd.readouterr()
        assert (code, out, line.count("\n")) in ((0, out, 0), (1, "", 1))
        gave_up += [line] * ("it is damaged" in line)
        if len(gave_up) == 3:
            break
    assert len(gave_up) == 3
    assert all(line.startswith(f"drift: error: {file}") for line in gave_up)
