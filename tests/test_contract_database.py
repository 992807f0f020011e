"""Databases and collections: connect, create, open, list, drop, and what closed or read-only handles do."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_connect_takes_a_path_a_path_object_and_a_file_uri(tmp_path: Path) -> None:
    for target in (str(tmp_path / "a"), tmp_path / "b", f"file://{tmp_path / 'c'}"):
        with drift.connect(target) as db:
            db.create_collection("docs", dim=2)
    assert {entry.name for entry in tmp_path.iterdir()} == {"a", "b", "c"}


@pytest.mark.parametrize("name", ["my db", "a%20b", "ünïcode #?", "plain"])
def test_a_file_uri_is_decoded_once(tmp_path: Path, name: str) -> None:
    uri = (tmp_path / name).as_uri()
    with drift.connect(uri) as db:
        db.create_collection("docs", dim=2)
        assert db.uri == str(tmp_path / name)
    for again in (db.uri, uri.replace("file://", "file://localhost")):
        with drift.connect(again, read_only=True) as db:
            assert db.list_collections() == ["docs"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("uri", ["file://host/x", "file://x", "file://", "file://./x", "file:///%ff"])
def test_a_file_uri_that_names_no_path_here_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(drift.InvalidArgumentError, match=re.escape(repr(uri))):
        drift.connect(uri)
    assert list(tmp_path.iterdir()) == []


def test_collections_are_listed_by_name(db: drift.Database) -> None:
    for name in ("b", "c", "a"):
        db.create_collection(name, dim=2)
    assert db.list_collections() == ["a", "b", "c"]
    assert db._repr_html_().index(">a<") < db._repr_html_().index(">b<") < db._repr_html_().index(">c<")


def test_memory_database_works_and_named_ones_are_kept_within_the_process() -> None:
    with drift.connect("memory://") as db:
        c = db.create_collection("docs", dim=2)
        c.upsert([1], [[1.0, 2.0]])
        assert c.search([1.0, 2.0], k=1, exact=True).ids.tolist() == [1]
    with drift.connect("memory://kept") as db:
        db.create_collection("docs", dim=2).upsert([7], [[1.0, 2.0]])
    with drift.connect("memory://kept") as db:
        assert oracle.ids_of(db["docs"]) == [7]


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(drift.InvalidArgumentError, match="gopher"):
        drift.connect("gopher://somewhere")


@pytest.mark.parametrize("durability", ["always", "interval", "os", "none"])
def test_every_durability_mode_keeps_flushed_rows_over_a_reopen(path: str, durability: Any) -> None:
    with drift.connect(path, durability=durability) as db:
        c = db.create_collection("docs", dim=2)
        c.upsert([1, 2], [[1, 0], [0, 1]])
        c.flush()
    with drift.connect(path, durability=durability) as db:
        assert oracle.ids_of(db["docs"]) == [1, 2]


@pytest.mark.parametrize("durability", ["always", "interval", "os"])
def test_logged_rows_are_found_after_a_close_without_flush(path: str, durability: Any) -> None:
    with drift.connect(path, durability=durability) as db:
        db.create_collection("docs", dim=2).upsert([1, 2], [[1, 0], [0, 1]])
    with drift.connect(path) as db:
        assert oracle.ids_of(db["docs"]) == [1, 2]


def test_unknown_durability_is_refused(path: str) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="sometimes"):
        drift.connect(path, durability="sometimes")  # type: ignore[arg-type]


def test_too_small_a_memory_limit_is_refused(path: str) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="memory_limit"):
        drift.connect(path, memory_limit=1)


def test_collections_are_listed_opened_and_dropped_by_name(db: drift.Database) -> None:
    assert list(db.list_collections()) == []
    db.create_collection("b", dim=2)
    db.create_collection("a", dim=3, metric="l2", id_type="str")
    assert sorted(db.list_collections()) == ["a", "b"]
    assert "a" in db
    assert "c" not in db
    assert db["a"].name == "a"
    assert db.open_collection("b").name == "b"
    db.drop_collection("a")
    assert list(db.list_collections()) == ["b"]
    assert "a" not in db


def test_collections_are_isolated(db: drift.Database) -> None:
    one, two = db.create_collection("one", dim=2), db.create_collection("two", dim=2)
    one.upsert([1], [[1, 0]])
    assert (len(one), len(two)) == (1, 0)


def test_dropped_collection_comes_back_empty_when_created_anew(db: drift.Database) -> None:
    c = db.create_collection("docs", dim=2)
    c.upsert([1], [[1, 0]])
    db.drop_collection("docs")
    with pytest.raises(drift.DriftError):
        c.search([1, 0])
    assert len(db.create_collection("docs", dim=3)) == 0


def test_unknown_collection_is_named_in_the_error(db: drift.Database) -> None:
    for call in (lambda: db["ghost"], lambda: db.open_collection("ghost"), lambda: db.drop_collection("ghost")):
        with pytest.raises(drift.NotFoundError, match="ghost"):
            call()


def test_a_collection_is_not_created_twice(db: drift.Database) -> None:
    db.create_collection("docs", dim=4)
    with pytest.raises(drift.AlreadyExistsError, match="docs"):
        db.create_collection("docs", dim=4)


def test_exist_ok_opens_the_same_schema(db: drift.Database) -> None:
    first = db.create_collection("docs", dim=4, metric="dot", id_type="str")
    first.upsert(["a"], [[1, 0, 0, 0]])
    again = db.create_collection("docs", dim=4, metric="dot", id_type="str", exist_ok=True)
    assert again.ids().tolist() == ["a"]


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"dim": 5}, "dim"), ({"metric": "l2"}, "metric"), ({"id_type": "str"}, "id")],
)
def test_exist_ok_refuses_another_schema_and_says_what_differs(
    path: str, changed: dict[str, object], word: str
) -> None:
    schema: dict[str, object] = {"dim": 4, "metric": "cosine", "id_type": "int"}
    with drift.connect(path) as db:
        db.create_collection("docs", **schema)  # type: ignore[arg-type]
    with drift.connect(path) as db:
        with pytest.raises(drift.InvalidArgumentError, match=word):
            db.create_collection("docs", **{**schema, **changed}, exist_ok=True)  # type: ignore[arg-type]
        assert db["docs"].dim == 4


@pytest.mark.parametrize(
    "wrong",
    [{"dim": 0}, {"dim": -1}, {"dim": 1_000_000}, {"dim": 4, "metric": "hamming"}, {"dim": 4, "id_type": "float"}],
)
def test_wrong_schemas_are_refused_and_leave_nothing(db: drift.Database, wrong: dict[str, object]) -> None:
    with pytest.raises(drift.InvalidArgumentError):
        db.create_collection("docs", **wrong)  # type: ignore[arg-type]
    assert list(db.list_collections()) == []


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/out", "..", "with\0zero"])
def test_a_name_never_leads_out_of_the_database(tmp_path: Path, name: str) -> None:
    with drift.connect(tmp_path / "db") as db:
        try:
            db.create_collection(name, dim=2).upsert([1], [[1, 0]])
        except drift.InvalidArgumentError:
            assert list(db.list_collections()) == []
        else:
            assert list(db.list_collections()) == [name]
    assert [entry.name for entry in tmp_path.iterdir()] == ["db"]


def test_the_empty_name_is_refused(db: drift.Database) -> None:
    with pytest.raises(drift.InvalidArgumentError):
        db.create_collection("", dim=2)


def test_names_of_letters_digits_dots_and_dashes_are_told_apart(db: drift.Database) -> None:
    names = ["with-dash", "under_score", "dotted.name", "2024", "CamelCase", "camelcase", "x" * 128]
    for name in names:
        db.create_collection(name, dim=2)
    assert sorted(db.list_collections()) == sorted(names)


def test_schema_is_visible_on_the_collection(db: drift.Database) -> None:
    c = db.create_collection("docs", dim=4, metric="dot", id_type="str")
    assert (c.name, c.dim, c.metric, c.id_type) == ("docs", 4, "dot", "str")


def test_defaults_are_cosine_and_int(db: drift.Database) -> None:
    c = db.create_collection("docs", dim=4)
    assert (c.metric, c.id_type) == ("cosine", "int")


def test_reprs_are_one_line_and_name_what_they_show(db: drift.Database, docs: drift.Collection, path: str) -> None:
    assert path in repr(db)
    assert "docs" in repr(docs)
    result = docs.search(np.zeros(8, np.float32), k=1)
    assert all("\n" not in repr(thing) for thing in (db, docs, result))


def test_closed_database_refuses_and_closes_its_collections(path: str) -> None:
    db = drift.connect(path)
    c = db.create_collection("docs", dim=2)
    db.close()
    db.close()
    with pytest.raises(drift.ClosedError):
        db.create_collection("more", dim=2)
    with pytest.raises(drift.ClosedError):
        db.list_collections()
    with pytest.raises(drift.ClosedError):
        c.search([1, 0])


def test_closed_collection_refuses_and_the_database_goes_on(db: drift.Database) -> None:
    with db.create_collection("docs", dim=2) as c:
        c.upsert([1], [[1, 0]])
    c.close()
    calls: list[Callable[[], object]] = [
        lambda: c.upsert([1], [[1, 0]]),
        lambda: c.add([1], [[1, 0]]),
        lambda: c.delete([1]),
        lambda: c.get([1]),
        lambda: c.search([1, 0]),
        lambda: len(c),
        lambda: 1 in c,
        lambda: c.ids(),
        lambda: c.flush(),
        lambda: c.stats(),
        lambda: c.verify(),
    ]
    for call in calls:
        with pytest.raises(drift.ClosedError):
            call()
    assert len(db["docs"]) == 1


def test_read_only_reads_and_refuses_every_write(path: str) -> None:
    with drift.connect(path) as db:
        db.create_collection("docs", dim=2, metric="l2").upsert([1, 2], [[1, 0], [0, 1]])
    with drift.connect(path, read_only=True) as db:
        c = db["docs"]
        assert oracle.ids_of(c) == [1, 2]
        assert c.search([1, 0], k=1).ids.tolist() == [1]
        assert oracle.problems(c) == []
        writes: list[Callable[[], object]] = [
            lambda: c.add([3], [[1, 1]]),
            lambda: c.upsert([3], [[1, 1]]),
            lambda: c.delete([1]),
            lambda: c.load(iter([([3], [[1, 1]])])),
            lambda: c.optimize(),
            lambda: db.create_collection("more", dim=2),
            lambda: db.drop_collection("docs"),
        ]
        for write in writes:
            with pytest.raises(drift.ReadOnlyError):
                write()
    with drift.connect(path) as db:
        assert oracle.ids_of(db["docs"]) == [1, 2]
        assert list(db.list_collections()) == ["docs"]


def test_read_only_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(drift.NotFoundError):
        drift.connect(tmp_path / "none", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_handles_pickle_by_uri(path: str) -> None:
    with drift.connect(path) as db:
        c = db.create_collection("docs", dim=2)
        c.upsert([1], [[1, 0]])
        frozen_db, frozen_c = pickle.dumps(db), pickle.dumps(c)
    with pickle.loads(frozen_db) as again:  # noqa: S301 - pickled four lines above
        assert list(again.list_collections()) == ["docs"]
    with pickle.loads(frozen_c) as c_again:  # noqa: S301
        assert c_again.name == "docs"
        assert len(c_again) == 1


def test_errors_have_the_promised_ancestry() -> None:
    names = [
        "InvalidArgumentError",
        "NotFoundError",
        "AlreadyExistsError",
        "CorruptionError",
        "LockedError",
        "FencedError",
        "ReadOnlyError",
        "ClosedError",
        "ForkError",
        "ResourceExhaustedError",
        "TimeoutError",
        "UnsupportedFormatError",
    ]
    for name in names:
        assert issubclass(getattr(drift, name), drift.DriftError), name
    assert issubclass(drift.DriftError, Exception)
    assert issubclass(drift.InvalidArgumentError, ValueError)
    assert issubclass(drift.NotFoundError, KeyError)
