"""load: every kind of source, one commit, nothing changed by a failure, and rows that behave like any others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIM = 8
COUNT = 1_000
ROWS = oracle.vectors(COUNT, DIM, 10)
IDS = np.arange(COUNT, dtype=np.int64) * 3


def table_of(rows: oracle.F32, ids: Any = IDS, kind: pa.DataType | None = None) -> pa.Table:
    """Return an Arrow table with the default column names."""
    flat = pa.array(rows.reshape(-1), type=pa.float32()).cast(kind or pa.float32())
    return pa.table({"id": pa.array(ids), "embedding": pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])})


def check(c: drift.Collection, rows: oracle.F32 = ROWS, ids: Any = IDS) -> None:
    """Fail unless the collection holds exactly these rows and is sound."""
    assert len(c) == len(ids)
    assert oracle.ids_of(c) == sorted(np.asarray(ids).tolist())
    np.testing.assert_array_equal(c.get(ids).vectors, rows)
    oracle.assert_exact(c.search(rows[:5], k=10, exact=True), "l2", rows[:5], np.asarray(ids).tolist(), rows, 10)
    assert oracle.problems(c) == []


def write_parquet(folder: Path, name: str, table: pa.Table, **options: Any) -> Path:
    """Return a Parquet file below ``folder``."""
    target = folder / name
    pq.write_table(table, target, **options)
    return target


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip", "lz4"])
def test_loads_a_parquet_file(docs: drift.Collection, tmp_path: Path, compression: str) -> None:
    file = write_parquet(tmp_path, "a.parquet", table_of(ROWS), row_group_size=300, compression=compression)
    docs.load(str(file))
    check(docs)


def test_loads_several_parquet_files_and_path_objects(docs: drift.Collection, tmp_path: Path) -> None:
    first = write_parquet(tmp_path, "a.parquet", table_of(ROWS[:400], IDS[:400]))
    second = write_parquet(tmp_path, "b.parquet", table_of(ROWS[400:], IDS[400:]))
    docs.load([first, second])
    check(docs)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_loads_every_float_width(docs: drift.Collection, tmp_path: Path, kind: pa.DataType) -> None:
    rows = ROWS.astype(np.float16).astype(np.float32)
    docs.load(write_parquet(tmp_path, "a.parquet", table_of(rows, kind=kind)))
    check(docs, rows)


def test_loads_an_arrow_table_a_reader_a_batch_and_polars(db: drift.Database) -> None:
    table = table_of(ROWS)
    sources: dict[str, Any] = {
        "table": table,
        "reader": pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=170)),
        "batch": table.combine_chunks().to_batches()[0],
        "polars": pl.from_arrow(table),
    }
    for name, source in sources.items():
        c = db.create_collection(name, dim=DIM, metric="l2")
        c.load(source)
        check(c)


def test_loads_an_iterator_of_batches(docs: drift.Collection) -> None:
    docs.load(batch for batch in table_of(ROWS).to_batches(max_chunksize=170))
    check(docs)


def test_loads_named_columns_and_ignores_the_others(docs: drift.Collection) -> None:
    table = table_of(ROWS).rename_columns(["key", "vec"]).append_column("note", pa.array(["x"] * COUNT))
    docs.load(table, id="key", vector="vec")
    check(docs)


def test_loads_string_ids_and_uint64_ids(db: drift.Database) -> None:
    names = [f"package-{at}" for at in range(COUNT)]
    c = db.create_collection("named", dim=DIM, metric="l2", id_type="str")
    c.load(table_of(ROWS, names))
    assert len(c) == COUNT
    assert c.search(ROWS[7], k=1, exact=True).ids.tolist() == ["package-7"]
    unsigned = db.create_collection("unsigned", dim=DIM, metric="l2")
    unsigned.load(table_of(ROWS, IDS.astype(np.uint64)))
    check(unsigned)


def test_loads_variable_lists_of_the_right_length(docs: drift.Collection) -> None:
    table = pa.table({"id": IDS, "embedding": pa.array(ROWS.tolist(), pa.list_(pa.float32()))})
    docs.load(table)
    check(docs)


def test_an_id_twice_in_a_load_keeps_the_last(docs: drift.Collection) -> None:
    docs.load(table_of(np.concatenate([ROWS, ROWS[:2]]), np.concatenate([IDS, IDS[[5, 6]]])))
    rows = ROWS.copy()
    rows[[5, 6]] = ROWS[:2]
    check(docs, rows)


def test_load_replaces_rows_that_exist_and_keeps_the_others(docs: drift.Collection) -> None:
    docs.upsert([0, 1_000_000], ROWS[:2] + 1)
    docs.load(table_of(ROWS))
    check(docs, np.concatenate([ROWS, ROWS[1:2] + 1]), np.append(IDS, 1_000_000))
    docs.load(table_of(ROWS + 2))
    check(docs, np.concatenate([ROWS + 2, ROWS[1:2] + 1]), np.append(IDS, 1_000_000))


def test_loaded_rows_can_be_replaced_deleted_and_survive_a_reopen(path: str) -> None:
    with drift.connect(path) as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        c.load(table_of(ROWS))
        c.upsert(IDS[:3], ROWS[:3] + 1)
        assert c.delete(IDS[-4:]) == 4
    rows = ROWS[:-4].copy()
    rows[:3] += 1
    with drift.connect(path) as db:
        check(db["docs"], rows, IDS[:-4])


def test_loading_nothing_is_fine(docs: drift.Collection) -> None:
    docs.load(table_of(ROWS[:0], IDS[:0]))
    docs.load(iter([]))
    assert len(docs) == 0


def test_load_reports_its_rows(docs: drift.Collection) -> None:
    assert docs.load(table_of(ROWS))["rows"] == COUNT


def test_progress_is_told_and_shown(docs: drift.Collection) -> None:
    told: list[Any] = []
    docs.load(table_of(ROWS), progress=lambda rows, total: told.append((rows, total)))
    assert told
    docs.load(table_of(ROWS), progress=True)
    check(docs)


class Stopped(Exception):  # noqa: N818 - it is no error.
    """Raised by a source or a progress callback of these tests."""


def test_a_progress_callback_that_raises_stops_the_load_whole(docs: drift.Collection) -> None:
    def stop(_rows: int, _total: int | None) -> None:
        raise Stopped

    docs.upsert([1], ROWS[:1])
    with pytest.raises(Stopped):
        docs.load(table_of(ROWS), progress=stop)
    check(docs, ROWS[:1], [1])


@pytest.mark.parametrize("error", [Stopped, KeyboardInterrupt])
def test_an_iterator_that_raises_stops_the_load_whole(docs: drift.Collection, error: type[BaseException]) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from table_of(ROWS).to_batches(max_chunksize=170)[:3]
        raise error

    docs.upsert([1], ROWS[:1])
    with pytest.raises(error):
        docs.load(batches())
    check(docs, ROWS[:1], [1])
    docs.load(table_of(ROWS))
    assert len(docs) == COUNT + 1


def with_value(row: int, column: int, value: float) -> oracle.F32:
    """ROWS with one value changed."""
    rows = ROWS.copy()
    rows[row, column] = value
    return rows


def with_null_vector() -> pa.Table:
    """Return a table whose vector 613 is null."""
    values: list[Any] = ROWS.tolist()
    values[613] = None
    return pa.table({"id": IDS, "embedding": pa.array(values, pa.list_(pa.float32(), DIM))})


BAD_TABLES: dict[str, tuple[pa.Table, str]] = {
    "nan": (table_of(with_value(613, 5, np.nan)), "613|from row 600: .*row 13"),
    "infinity": (table_of(with_value(999, 0, np.inf)), "999|from row 900: .*row 99"),
    "null vector": (with_null_vector(), "613|embedding"),
    "null id": (table_of(ROWS[:3], pa.array([1, None, 3])), "id|row 1"),
    "negative id": (table_of(ROWS[:3], [1, 2, -3]), "-3|row 2"),
    "id above int64": (table_of(ROWS[:2], np.array([1, 2**63], np.uint64)), "row 1|9223372036854775808"),
    "string ids": (table_of(ROWS[:2], ["a", "b"]), "id"),
    "dimension": (table_of(np.ones((3, 5), np.float32), [1, 2, 3]), r"\b8\b"),
    "no id column": (table_of(ROWS).rename_columns(["key", "embedding"]), "id"),
    "no vector column": (table_of(ROWS).rename_columns(["id", "vec"]), "embedding"),
    "vectors are text": (pa.table({"id": [1], "embedding": ["x"]}), "embedding"),
    "ragged": (pa.table({"id": [1, 2], "embedding": [[0.5] * DIM, [0.5] * 3]}), "row 1|embedding"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
@pytest.mark.parametrize("form", ["table", "parquet", "batches"])
def test_a_bad_source_is_refused_with_its_place_and_changes_nothing(
    docs: drift.Collection, tmp_path: Path, case: str, form: str
) -> None:
    table, pattern = BAD_TABLES[case]
    docs.upsert([1], ROWS[:1])
    source: Any = table
    if form == "parquet":
        source = write_parquet(tmp_path, "bad.parquet", table, row_group_size=100)
    elif form == "batches":
        source = iter(table.to_batches(max_chunksize=100))
    with pytest.raises(drift.InvalidArgumentError, match=pattern):
        docs.load(source)
    check(docs, ROWS[:1], [1])


def test_a_zero_vector_is_refused_under_cosine(db: drift.Database) -> None:
    c = db.create_collection("cos", dim=DIM, metric="cosine")
    rows = ROWS.copy()
    rows[321] = 0
    with pytest.raises(drift.InvalidArgumentError, match="321"):
        c.load(table_of(rows))
    assert len(c) == 0


def test_a_bad_second_file_is_named_and_the_first_is_not_kept(docs: drift.Collection, tmp_path: Path) -> None:
    good = write_parquet(tmp_path, "good.parquet", table_of(ROWS))
    bad = write_parquet(tmp_path, "worse.parquet", table_of(with_value(7, 1, np.nan), IDS + 1))
    with pytest.raises(drift.InvalidArgumentError, match=r"worse\.parquet"):
        docs.load([good, bad])
    assert len(docs) == 0


def test_missing_and_damaged_files_are_named(docs: drift.Collection, tmp_path: Path) -> None:
    with pytest.raises((drift.NotFoundError, FileNotFoundError), match=r"absent\.parquet"):
        docs.load(tmp_path / "absent.parquet")
    good = write_parquet(tmp_path, "good.parquet", table_of(ROWS))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(good.read_bytes()[:-20])
    with pytest.raises((drift.InvalidArgumentError, drift.CorruptionError), match=r"cut\.parquet"):
        docs.load(cut)
    assert len(docs) == 0


def test_a_source_of_no_known_kind_is_refused(docs: drift.Collection) -> None:
    with pytest.raises(drift.InvalidArgumentError):
        docs.load(42)  # type: ignore[arg-type]


def test_default_search_of_the_sample_reaches_its_recall(db: drift.Database, sample: Any) -> None:
    c = db.create_collection("packages", dim=384, metric="cosine")
    c.load(sample.table)
    exact = c.search(sample.queries, k=10, exact=True)
    assert oracle.recall(c.search(sample.queries, k=10).ids, exact.ids) >= 0.95


def test_default_search_reaches_its_recall_on_rows_that_were_upserted(db: drift.Database, sample: Any) -> None:
    c = db.create_collection("packages", dim=384, metric="cosine")
    for start in range(0, len(sample.ids), 500):
        c.upsert(sample.ids[start : start + 500], sample.rows[start : start + 500])
    exact = c.search(sample.queries, k=10, exact=True)
    assert oracle.recall(c.search(sample.queries, k=10).ids, exact.ids) >= 0.95
    c.flush()
    c.optimize()
    assert oracle.recall(c.search(sample.queries, k=10).ids, exact.ids) >= 0.95


def test_loads_pairs_of_ids_and_vectors(docs: drift.Collection) -> None:
    docs.load((IDS[start : start + 170], ROWS[start : start + 170]) for start in range(0, COUNT, 170))
    check(docs)
