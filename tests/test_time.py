"""Time: windows, expiry and ranking by age, against what NumPy and dictionaries say."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift import aio
from drift._cli import main
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

UTC = dt.UTC
NOW = dt.datetime(2024, 6, 1, tzinfo=UTC)
DAY = dt.timedelta(days=1)
# Far from the moment at which a test runs, on both sides.
PAST, FUTURE = dt.datetime(2001, 1, 1, tzinfo=UTC), dt.datetime(2201, 1, 1, tzinfo=UTC)
NO_NAME: Any = 5
DIM = 8


def vectors(ids: list[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the vector of each id."""
    at = np.asarray(ids, dtype=np.float64)[:, None]
    return np.sin(at * 0.7 + np.arange(DIM) * (1 + at * 0.01)).astype(np.float32) + np.float32(1.5)


def distances(metric: str, ids: list[int], query: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the distance of each id's vector."""
    rows, one = vectors(ids).astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        return np.asarray(((rows - one) ** 2).sum(axis=1))
    products = rows @ one
    return -products if metric == "dot" else 1 - products / np.linalg.norm(rows, axis=1) / np.linalg.norm(one)


DAYS = st.integers(-40, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("upsert"),
            st.lists(st.tuples(st.integers(0, 40), DAYS, st.sampled_from(["", "past", "future"])), max_size=15),
        ),
        st.tuples(st.just("update"), st.tuples(st.integers(0, 40), DAYS, st.sampled_from(["", "past", "future"]))),
        st.tuples(st.just("delete window"), st.tuples(DAYS, st.integers(0, 12))),
        st.tuples(st.just("delete filter"), st.tuples(DAYS, st.integers(0, 3))),
        st.tuples(st.just("flush"), st.none()),
        st.tuples(st.just("maintain"), st.none()),
        st.tuples(st.just("optimize"), st.none()),
    ),
    max_size=12,
)
EXPIRES = {"": None, "past": PAST, "future": FUTURE}


@settings(max_examples=60)
@given(STEPS, st.sampled_from(["l2", "cosine", "dot"]), st.data())
def test_windows_expiry_updates_and_deletes_agree_with_a_dictionary(
    steps: Any, metric: Any, data: st.DataObject
) -> None:
    model: dict[int, tuple[int, str]] = {}

    def alive() -> dict[int, int]:
        return {one: day for one, (day, expires) in sorted(model.items()) if expires != "past"}

    with drift.connect("memory://time-model") as db:
        if "c" in db:
            db.drop_collection("c")
        c = db.create_collection("c", dim=DIM, metric=metric, time="at")
        for kind, given_ in steps:
            if kind == "upsert" and given_:
                ids = [row[0] for row in given_]
                metadata = [{"at": NOW + row[1] * DAY, "group": row[0] % 4} for row in given_]
                c.upsert(ids, vectors(ids), metadata, expires=[EXPIRES[row[2]] for row in given_])
                model.update({row[0]: row[1:] for row in given_})
            elif kind == "update" and given_[0] in alive():
                one, day, expires = given_
                c.update_metadata([one], [{"at": NOW + day * DAY, "_expires": EXPIRES[expires]}])
                model[one] = (day, expires)
            elif kind == "delete window":
                first, length = given_
                gone = [one for one, day in alive().items() if first <= day < first + length]
                assert c.delete(since=NOW + first * DAY, until=NOW + (first + length) * DAY) == len(gone)
                model = {one: row for one, row in model.items() if one not in gone}
            elif kind == "delete filter":
                last, group = given_
                gone = [one for one, day in alive().items() if day < last and one % 4 == group]
                assert c.delete(filter=drift.col("group") == group, until=NOW + last * DAY) == len(gone)
                model = {one: row for one, row in model.items() if one not in gone}
            elif kind == "flush":
                c.flush()
            elif kind == "maintain":
                c.maintenance.run_once()
            elif kind == "optimize":
                c.optimize()
        there = alive()
        assert sorted(c.ids().tolist()) == list(there)
        assert len(c) == c.count() == c.stats()["rows"] == len(there)
        assert [one in c for one in range(41)] == [one in there for one in range(41)]
        first = data.draw(DAYS)
        last = first + data.draw(st.integers(0, 20))
        window: dict[str, Any] = {"since": NOW + first * DAY, "until": NOW + last * DAY}
        inside = [one for one, day in there.items() if first <= day < last]
        assert c.count(**window) == len(inside)
        assert c.scroll(limit=100, **window).ids.tolist() == inside
        assert c.count(since=window["since"]) == sum(day >= first for day in there.values())
        assert c.count({"group": 1}, until=window["until"]) == sum(
            day < last and one % 4 == 1 for one, day in there.items()
        )
        query = vectors([7])[0]
        for exact in (True, False):
            found = c.search(query, k=50, exact=exact, **window)
            assert sorted(found.ids[found.ids >= 0].tolist()) == inside
        weight, half_life = data.draw(st.sampled_from([0.01, 0.5, 20.0])), data.draw(st.sampled_from([0.5, 10.0]))
        decay = drift.Decay(half_life * DAY, weight, at=NOW)
        ages = np.maximum(0, -np.array([there[one] for one in inside], dtype=np.float64))
        expected = np.sort(distances(metric, inside, query) + weight * (1 - 2 ** (-ages / half_life)))[:5]
        ways: list[dict[str, Any]] = [{"exact": True}, {"recall": 1.0}]
        for options in ways:
            values = c.search(np.stack([query, query]), k=5, decay=decay, **window, **options).distances
            for row in values:
                np.testing.assert_allclose(row[np.isfinite(row)], expected, rtol=1e-4, atol=1e-4)


def test_decay_deepens_until_no_row_that_was_not_met_can_be_better() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(6_000, 32)).astype(np.float32)
    times = [NOW - float(age) * DAY for age in rng.uniform(0, 365, 6_000)]
    with drift.connect("memory://time-decay") as db:
        c = db.create_collection("c", dim=32, metric="l2", time="at")
        c.load([(range(5_500), rows[:5_500], {"at": times[:5_500]})])
        c.add(range(5_500, 6_000), rows[5_500:], {"at": times[5_500:]})
        queries = rng.normal(size=(12, 32)).astype(np.float32)
        ages = np.array([(NOW - at) / DAY for at in times])
        far = ((rows[None].astype(np.float64) - queries[:, None]) ** 2).sum(axis=2)
        for weight in (0.5, 5.0, 1e4):
            values = far + weight * (1 - 2 ** (-ages / 30))
            expected = np.sort(values, axis=1)[:, :10]
            decay = drift.Decay(30 * DAY, weight, at=NOW)
            exact = c.search(queries, k=10, exact=True, decay=decay)
            np.testing.assert_allclose(exact.distances, expected, rtol=1e-4)
            full = c.search(queries, k=10, recall=1.0, decay=decay)
            np.testing.assert_allclose(full.distances, expected, rtol=1e-4)
            near = c.search(queries, k=10, recall=0.95, decay=decay)
            hit = [len(set(a) & set(b)) for a, b in zip(near.ids.tolist(), exact.ids.tolist(), strict=True)]
            assert np.mean(hit) >= 9
            probed = c.search(queries[0], k=10, nprobe=3, decay=decay)
            assert (np.diff(probed.distances) >= 0).all()
            assert (probed.distances >= exact.distances[0] - 1e-3).all()


def test_ttl_counts_from_the_time_of_a_row_and_from_the_clock() -> None:
    with drift.connect("memory://time-ttl") as db:
        c = db.create_collection("c", dim=1, metric="l2", time="at", ttl=30 * DAY)
        assert (c.time, c.ttl, c.fields) == ("at", 30 * DAY, {"at": "timestamp"})
        now = dt.datetime.now(UTC)
        c.add([1, 2], [[1.0], [2.0]], {"at": [now - 31 * DAY, now - 29 * DAY]})
        c.add([3], [[3.0]])
        assert c.ids().tolist() == [2, 3]
        own = c.get([3], include=True).metadata[0]["at"]
        assert now <= own <= dt.datetime.now(UTC)
        c.add([1], [[9.0]], {"at": [now]})
        assert c.get([1]).vectors.tolist() == [[9.0]]
        c.update_metadata([2], [{"at": now - 40 * DAY}])
        assert 2 not in c
        with pytest.raises(drift.NotFoundError):
            c.update_metadata([2], [{"at": now}])
        c.update_metadata([1], [{"at": None}])
        assert c.get([1], include="at").metadata[0]["at"] >= now
        jobs = c.maintenance.run_once()
        assert "expire" in {job["job"] for job in jobs} | {job["job"] for job in c.health().jobs}
        assert len(c) == 2


def test_expired_rows_come_off_the_disk(tmp_path: Path) -> None:
    with drift.connect(tmp_path / "db") as db:
        c = db.create_collection("c", dim=DIM, metric="l2")
        ids = list(range(1_000))
        c.upsert(ids, vectors(ids), expires=[PAST if one % 2 else FUTURE for one in ids])
        c.flush()
        assert len(c) == 500
        c.optimize()
        figures = c.stats()
        assert (figures["rows"], figures["segment_rows"], figures["dead_rows"]) == (500, 500, 0)
    with drift.connect(tmp_path / "db", read_only=True) as db:
        assert db["c"].ids().tolist() == ids[::2]
        assert db["c"].fields == {"_expires": "timestamp"}


def test_a_reader_hides_rows_that_expire_though_nobody_deletes_them(tmp_path: Path) -> None:
    with drift.connect(tmp_path / "db") as db:
        c = db.create_collection("c", dim=DIM, metric="l2")
        c.maintenance.pause()
        c.add([1, 2, 3], vectors([1, 2, 3]), expires=[PAST, None, FUTURE])
        c.flush()
        with drift.connect(tmp_path / "db", read_only=True) as reader:
            rows = reader["c"]
            assert rows.ids().tolist() == [2, 3]
            c.upsert([2], vectors([2]), expires=PAST)
            assert rows.refresh()
            assert rows.ids().tolist() == [3]
            assert rows.search(vectors([2])[0], k=3).ids.tolist() == [3, -1, -1]


def test_load_takes_the_time_column_or_the_clock(tmp_path: Path) -> None:
    at = [NOW - one * DAY for one in range(4)]
    array = pa.FixedSizeListArray.from_arrays(pa.array(vectors([0, 1, 2, 3]).ravel()), DIM)
    table = pa.table(
        {"id": [0, 1, 2, 3], "embedding": array, "at": pa.array(at, pa.timestamp("us", "UTC")), "n": range(4)}
    )
    pq.write_table(table, tmp_path / "timed.parquet")
    pq.write_table(table.drop_columns(["at"]), tmp_path / "bare.parquet")
    with drift.connect("memory://time-load") as db:
        c = db.create_collection("c", dim=DIM, metric="l2", time="at")
        c.load(tmp_path / "timed.parquet")
        assert c.get([0, 1, 2, 3], include=True).metadata == [{"at": one} for one in at]
        c.load(tmp_path / "timed.parquet", metadata=["n"])
        assert c.get([2], include=True).metadata == [{"at": at[2], "n": 2}]
        before = dt.datetime.now(UTC)
        c.load([tmp_path / "bare.parquet"])
        times = {row["at"] for row in c.get([0, 1, 2, 3], include=True).metadata}
        assert len(times) == 1
        assert before <= times.pop() <= dt.datetime.now(UTC)
        c.load(table)
        assert c.count(since=at[1]) == 2


def test_load_takes_a_column_of_expiries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table(
        {
            "id": range(4),
            "embedding": list(vectors(list(range(4)))),
            "_expires": pa.array([PAST, FUTURE, None, PAST], pa.timestamp("us", tz="UTC")),
            "n": range(4),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    pq.write_table(table.set_column(2, "_expires", pa.array([1, 2, 3, 4])), tmp_path / "wrong.parquet")
    with drift.connect(tmp_path / "db") as db:
        sources: list[tuple[Any, Any]] = [
            (table, ["_expires"]),
            (tmp_path / "rows.parquet", True),
            ([(range(4), vectors(list(range(4))), {"_expires": [PAST, FUTURE, None, PAST]})], None),
            (table.set_column(2, "_expires", table["_expires"].cast(pa.date32())), "_expires"),
        ]
        for at, (source, metadata) in enumerate(sources):
            c = db.create_collection(f"c{at}", dim=DIM, metric="l2")
            assert c.load(source, metadata=metadata)["rows"] == 4
            assert sorted(c.ids().tolist()) == [1, 2]
            assert c.search(vectors([0])[0], k=4).ids.tolist() == [1, 2, -1, -1]
            assert c.get([1], include=["_expires"]).metadata == [{"_expires": FUTURE}]
        plain = db.create_collection("plain", dim=DIM, metric="l2")
        plain.load(table)
        assert len(plain) == 4, "a column that is not asked for is not read"
        with pytest.raises(drift.InvalidArgumentError, match="_expires"):
            plain.load(tmp_path / "wrong.parquet", metadata=True)
        assert len(plain) == 4
    arguments = [str(tmp_path / "db"), "plain", str(tmp_path / "rows.parquet"), "--metadata", "_expires,n", "--json"]
    assert main(["load", *arguments]) == 0
    capsys.readouterr()
    assert main(["count", *arguments[:2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 2}


def test_moments_are_taken_in_every_form() -> None:
    with drift.connect("memory://time-forms") as db:
        c = db.create_collection("c", dim=1, metric="l2", time="at")
        c.add([1, 2], [[0.0], [1.0]], {"at": [dt.datetime(2024, 5, 31, 12), dt.datetime(2024, 6, 1, 12)]})
        same: list[Any] = [
            NOW,
            dt.date(2024, 6, 1),
            dt.datetime(2024, 6, 1),
            np.datetime64("2024-06-01"),
            "2024-06-01",
            "2024-06-01T02:00:00+02:00",
            "2024-06-01T00:00:00Z",
        ]
        for moment in same:
            assert c.scroll(since=moment).ids.tolist() == [2]
            assert c.search([0.0], until=moment).ids[:2].tolist() == [1, -1]
            assert c.explain([0.0], until=moment).k == 10
            c.upsert([3], [[2.0]], expires=moment)
            assert 3 not in c
        c.upsert([3, 4], [[2.0], [3.0]], expires=np.array(["NaT", "2001-01-01"], dtype="datetime64[s]"))
        assert [3 in c, 4 in c] == [True, False]
        moments = [None, dt.datetime(2201, 1, 1)]
        for column in (
            pd.Series(moments),
            pd.Series([None, "2201-01-01"]),
            pd.DatetimeIndex(moments, tz="UTC"),
            pa.array(moments),
            pa.chunked_array([moments], pa.timestamp("ns")),
            pl.Series(moments),
        ):
            c.upsert([3, 4], [[2.0], [3.0]], expires=column)
            assert c.get([3, 4], include=["_expires"]).metadata == [{}, {"_expires": FUTURE}]
        for wrong in (pa.array([2**62, 1], pa.timestamp("s")), pd.Series([1, 2]), pa.array(moments[:1])):
            with pytest.raises(drift.InvalidArgumentError, match=r"^expires"):
                c.upsert([3, 4], [[2.0], [3.0]], expires=wrong)
        c.upsert([3, 4], [[2.0], [3.0]], expires="2201-01-01")
        assert c.get([4], include=["_expires"]).metadata == [{"_expires": FUTURE}]


def test_fixed_fields_have_a_time_and_may_expire() -> None:
    with drift.connect("memory://time-fixed") as db:
        options: dict[str, Any] = {"dim": 1, "fields": {"year": "int"}, "time": "at", "ttl": 1e12}
        c = db.create_collection("c", **options)
        c.add([1], [[1.0]], {"year": [2020]}, expires=FUTURE)
        c.flush()
        assert c.fields == {"year": "int", "at": "timestamp", "_expires": "timestamp"}
        c.close()
        again = db.create_collection("c", exist_ok=True, **options)
        assert again.fields == {"year": "int", "at": "timestamp", "_expires": "timestamp"}
        assert db.create_collection("c", dim=1, exist_ok=True).time == "at"
        with pytest.raises(drift.InvalidArgumentError, match="ttl"):
            db.create_collection("c", dim=1, time="at", ttl=5, exist_ok=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda db, _: db.create_collection("d", dim=1, ttl=5), "time="),
        (lambda db, _: db.create_collection("d", dim=1, time="at", ttl=0), "above 0"),
        (lambda db, _: db.create_collection("d", dim=1, time="at", ttl="5"), "number of seconds"),
        (lambda db, _: db.create_collection("d", dim=1, time="_expires"), "_expires"),
        (lambda db, _: db.create_collection("d", dim=1, time="at", fields={"at": "int"}), "timestamp"),
        (lambda _, c: c.count(since="2024-01-01"), 'create_collection(..., time="field")'),
        (lambda _, c: c.delete(until=NOW), "time field"),
        (lambda _, c: c.delete([1], filter="a = 1"), "either ids"),
        (lambda _, c: c.delete(), "either ids"),
        (lambda _, c: c.search([0.0], decay=drift.Decay(1.0, 1.0)), "time field"),
        (lambda _, c: c.search([0.0], decay=drift.Decay(1.0, 1.0, field="nowhere")), "nowhere"),
        (lambda _, c: c.search([0.0], decay=drift.Decay(1.0, 1.0, field="n")), "is int"),
        (lambda _, c: c.search([0.0], decay=1.0), "drift.Decay"),
        (lambda _, c: c.upsert([1], [[0.0]], expires=5), "expires"),
        (lambda _, c: c.upsert([1], [[0.0]], expires="soon"), "ISO 8601"),
        (lambda _, c: c.upsert([1], [[0.0]], expires=[NOW, NOW]), "2 moments for 1 ids"),
        (lambda _, c: c.upsert([1], [[0.0]], [{"_expires": 5}]), "_expires"),
        (lambda _, c: c.upsert([1], [[0.0]], [{"_expires": NOW}], expires=NOW), "twice"),
        (lambda *_: drift.Decay(0, 1.0), "half_life"),
        (lambda *_: drift.Decay(1.0, 0.0), "weight"),
        (lambda *_: drift.Decay(1.0, math.inf), "weight"),
        (lambda *_: drift.Decay(1.0, 1.0, field=NO_NAME), "field"),
        (lambda *_: drift.Decay(1.0, 1.0, at=NO_NAME), "at is 5"),
    ],
)
def test_what_has_no_meaning_is_refused(make: Any, message: str) -> None:
    with drift.connect("memory://time-refused") as db:
        c = db.create_collection("c", dim=1, metric="l2", exist_ok=True)
        c.upsert([1], [[0.0]], {"n": [1]})
        with pytest.raises(drift.InvalidArgumentError) as caught:
            make(db, c)
        assert message in str(caught.value)
        assert c.get([1], include=True).metadata == [{"n": 1}]


@pytest.mark.parametrize("far", [10**400, 10**5000, 1e300, np.longdouble(1e300), np.float16(0)], ids=type)
def test_lengths_and_weights_out_of_bounds_are_refused(far: Any) -> None:
    with drift.connect("memory://time-bounds") as db:
        for call in (
            lambda: drift.Decay(far, 1),
            lambda: drift.Decay(1, far),
            lambda: db.create_collection("c", dim=1, time="at", ttl=far),
        ):
            with pytest.raises(drift.InvalidArgumentError, match="above 0"):
                call()
    with pytest.raises(drift.InvalidArgumentError, match="number"):
        drift.Decay(1, np.complex64(1))  # type: ignore[arg-type]


def test_nat_in_a_list_of_expiries_is_never() -> None:
    with drift.connect("memory://time-never") as db:
        c = db.create_collection("c", dim=1, metric="l2")
        for never in (np.datetime64("NaT"), pd.NaT, None):
            c.upsert([1, 2], [[1.0], [2.0]], expires=[FUTURE, never])
            assert c.get([1, 2], include=True).metadata == [{"_expires": FUTURE}, {}]


def test_asyncio_has_the_same() -> None:
    async def run() -> None:
        async with aio.connect("memory://time-aio") as db:
            c = await db.create_collection("c", dim=1, metric="l2", time="at", ttl=DAY * 100_000)
            assert (c.time, c.ttl) == ("at", DAY * 100_000)
            await c.add([1, 2], [[0.0], [1.0]], {"at": [NOW, NOW - DAY]}, expires=[None, FUTURE])
            await c.upsert([3], [[5.0]], {"at": [NOW]}, expires=PAST)
            assert await c.count() == 2
            assert await c.count(since=NOW) == 1
            assert (await c.scroll(until=NOW)).ids.tolist() == [2]
            decay = drift.Decay(DAY, 10.0, at=NOW)
            found = await c.search([1.0], k=2, decay=decay)
            assert found.ids.tolist() == [1, 2]
            np.testing.assert_allclose(found.distances, [1.0, 5.0])
            assert (await c.explain([1.0], since=NOW)).k == 10
            assert await c.delete(since=NOW) == 1

    asyncio.run(run())


def test_the_command_line_has_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "db")
    assert main(["create", path, "c", "--dim", "1", "--metric", "l2", "--time", "at", "--ttl", "1e12"]) == 0
    with drift.connect(path) as db:
        db["c"].add([1, 2, 3], [[0.0], [1.0], [2.0]], {"at": [NOW, NOW - DAY, NOW - 2 * DAY]})
    capsys.readouterr()
    search = ["search", path, "c", "--vector", "[0.0]", "--json"]
    assert main([*search, "--since", "2024-05-31", "--until", "2024-06-01"]) == 0
    assert [hit["id"] for hit in json.loads(capsys.readouterr().out)] == [2]
    far = ["search", path, "c", "--vector", "[9.0]", "--json"]
    assert main(far) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [3, 2, 1]
    assert main([*far, "--half-life", "8e6", "--age-weight", "1e7"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [1, 2, 3]
    assert main([*search[:-1], "--half-life", "1"]) == 1
    assert "both of them" in capsys.readouterr().err
    assert main(["explain", *search[1:], "--since", "2024-05-31"]) == 0
    assert json.loads(capsys.readouterr().out)["k"] == 10
    assert main(["delete", path, "c", "--until", "2024-06-01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": 2}
    assert main(["delete", path, "c", "1", "--since", "2024-06-01"]) == 2
    assert "either ids" in capsys.readouterr().err
