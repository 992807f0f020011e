"""Misspelt names: of fields in filters, and of arguments."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
from typing import TYPE_CHECKING, Any

import drift
import pytest
from drift import _cli, aio, col

if TYPE_CHECKING:
    from collections.abc import Callable

    from drift import Expression

ROWS = [[1.0, 0.0], [0.0, 1.0]]
METADATA: list[dict[str, Any]] = [{"year": 2024, "author": {"name": "Ada"}}, {"year": 2020}]

SPELLINGS: list[Expression | dict[str, Any] | str] = [
    col("yaer") >= 2024,
    {"yaer": {"$gte": 2024}},
    "yaer >= 2024",
    # What is negated would match every row.
    ~(col("yaer") >= 2024),
    {"yaer": {"$ne": 2024}},
    "year = 2024 AND NOT (author.name = 'Ada' OR yaer = 2020)",
]

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "search": lambda c, condition: c.search(ROWS[0], filter=condition),
    "exact": lambda c, condition: c.search(ROWS, exact=True, filter=condition),
    "explain": lambda c, condition: c.explain(ROWS[0], filter=condition),
    "count": lambda c, condition: c.count(condition),
    "scroll": lambda c, condition: c.scroll(condition),
    "delete": lambda c, condition: c.delete(filter=condition),
}

MESSAGE = r'the field "yaer", which no row has: did you mean "year"\?'


@pytest.fixture(params=["memory", "segment"])
def c(db: drift.Database, request: pytest.FixtureRequest) -> drift.Collection:
    """Return two rows with metadata."""
    c = db.create_collection("docs", dim=2)
    c.add([1, 2], ROWS, METADATA)
    if request.param == "segment":
        c.flush()
    return c


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("condition", SPELLINGS, ids=str)
def test_a_filter_over_a_misspelt_field_is_refused(c: drift.Collection, condition: Any, call: str) -> None:
    with pytest.raises(drift.InvalidArgumentError, match=MESSAGE):
        CALLS[call](c, condition)
    assert len(c) == 2


@pytest.mark.parametrize("call", CALLS)
def test_asyncio_refuses_it_too(call: str) -> None:
    async def ask() -> None:
        async with aio.connect(f"memory://misspelt-{call}") as db, db.create_collection("docs", dim=2) as c:
            await c.add([1, 2], ROWS, METADATA)
            for condition in SPELLINGS:
                with pytest.raises(drift.InvalidArgumentError, match=MESSAGE):
                    await CALLS[call](c, condition)
            assert await c.count() == 2

    asyncio.run(ask())


def test_the_command_line_refuses_it_too(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with drift.connect(path) as db:
        db.create_collection("docs", dim=2).add([1, 2], ROWS, METADATA)
    for command in (["count"], ["scroll"], ["search", "--id", "1"], ["explain", "--id", "1"], ["delete"]):
        assert _cli.main([command[0], path, "docs", *command[1:], "--filter", "yaer = 1"]) == 1
        assert 'did you mean "year"?' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Year", "year"), ("years", "year"), ("metadata.year", "year"), ("autor.name", "author.name")],
)
def test_the_field_that_was_meant_is_named(c: drift.Collection, name: str, meant: str) -> None:
    with pytest.raises(drift.InvalidArgumentError, match=f'"{name}", which no row has: did you mean "{meant}"'):
        c.count(col(name) == 1)


def test_known_fields_and_questions_of_existence_are_no_mistakes(c: drift.Collection) -> None:
    for condition, rows in {
        "author.name = 'Ada'": 1,
        "author.nowhere = 'Ada'": 0,
        "year = 'text'": 0,
        "price > 5": 0,
        "NOT price > 5": 2,
        "year.month = 5": 0,
        "yaer IS NULL": 2,
        "yaer IS NOT NULL": 0,
        "yaer IS NULL OR yaer < 2022": 2,
        "NOT (yaer IS NOT NULL AND yaer = 1)": 2,
        "_expires IS NULL": 2,
        "_expires < TIMESTAMP '2100-01-01'": 0,
    }.items():
        assert c.count(condition) == rows, condition
    assert c.count({"yaer": {"$exists": False}}) == c.count(col("yaer").is_null()) == 2
    assert c.count({}) == 2


def test_a_field_that_rows_had_stays_known(path: str) -> None:
    with drift.connect(path) as db:
        c = db.create_collection("docs", dim=2)
        assert c.count("yaer = 1") == 0, "there is nothing yet that it could be a slip of"
        c.add([1, 2], ROWS, METADATA)
        c.flush()
        c.delete([1, 2])
        c.optimize()
        assert c.count("year = 2024") == 0
    with drift.connect(path, read_only=True) as db, pytest.raises(drift.InvalidArgumentError, match=MESSAGE):
        db["docs"].count("yaer = 1")


def test_the_time_of_a_collection_is_known_before_its_first_row(db: drift.Database) -> None:
    c = db.create_collection("docs", dim=2, time="at", fields={"year": "int"})
    assert c.count(since=dt.datetime(2024, 1, 1)) == 0
    with pytest.raises(drift.InvalidArgumentError, match=MESSAGE):
        c.count("yaer IS NULL")
    with pytest.raises(
        drift.InvalidArgumentError, match='"price": the collection was created with the fields "year", "at"'
    ):
        c.count("price IS NULL")


ARGUMENTS: list[tuple[Callable[[Any], object], str]] = [
    (lambda c: c.search(ROWS[0], top_k=5), "search() has no argument 'top_k': it is called k here"),
    (lambda c: c.search(ROWS[0], limit=5), "search() has no argument 'limit': it is called k here"),
    (lambda c: c.search(ROWS[0], where={"a": 1}), "'where': it is called filter here"),
    (lambda c: c.search(vector=ROWS[0]), "'vector': it is called q here"),
    (lambda c: c.search(ROWS[0], fliter="a = 1"), "'fliter': did you mean filter?"),
    (lambda c: c.search(ROWS[0], zzz=1), "'zzz': there are q, k, recall, exact, filter"),
    (lambda c: c.scroll(k=5), "scroll() has no argument 'k': it is called limit here"),
    (lambda c: c.scroll(offset=5), "'offset': it is called cursor here"),
    (lambda c: c.get([1], with_vectors=True), "get() has no argument 'with_vectors'"),
    (lambda c: c.add(ids=[3], embeddings=[ROWS[0]]), "'embeddings': it is called vectors here"),
    (lambda c: c.upsert([3], [ROWS[0]], payload=[{}]), "'payload': it is called metadata here"),
    (lambda c: c.delete(where="a = 1"), "'where': it is called filter here"),
    (lambda c: c.database.create_collection("d", dimension=3), "'dimension': it is called dim here"),
]


@pytest.mark.parametrize(("call", "message"), ARGUMENTS, ids=[message for _, message in ARGUMENTS])
def test_an_argument_that_is_called_otherwise_is_told(db: drift.Database, call: Any, message: str) -> None:
    c = db.create_collection("docs", dim=2)
    with pytest.raises(TypeError) as caught:
        call(c)
    assert message in str(caught.value)

    async def ask() -> None:
        async with aio.connect("memory://arguments") as db, db.create_collection("docs", 2, exist_ok=True) as c:
            with pytest.raises(TypeError) as caught:
                await call(c)
            assert message in str(caught.value)

    asyncio.run(ask())


def test_other_type_errors_stay_as_they_are(db: drift.Database) -> None:
    c: Any = db.create_collection("docs", dim=2)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'q'"):
        c.search()
    with pytest.raises(TypeError, match="multiple values for argument 'k'"):
        c.search(ROWS[0], 5, k=5)

    class Wrong:
        def __array__(self, **_: object) -> object:
            return [].nowhere(top_k=1)  # type: ignore[attr-defined]

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it is not about an argument.
        c.search(Wrong())
    assert "no argument" not in str(caught.value)


def test_signatures_are_those_of_the_methods() -> None:
    for cls in (drift.Collection, aio.Collection):
        assert list(inspect.signature(cls.search).parameters)[:4] == ["self", "q", "k", "recall"]
    assert inspect.iscoroutinefunction(aio.Collection.search)
    assert not inspect.iscoroutinefunction(drift.Collection.search)
