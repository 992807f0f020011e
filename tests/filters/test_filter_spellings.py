"""The three spellings: equal trees, code that can be read back, and what is refused with what message."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pandas as pd
import pytest
from drift import col
from drift._filter import to_tree
from drift._filter import tree as bounds
from hypothesis import given
from hypothesis import strategies as st

from tests.filters import chosen, spell

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1, max_size=10),
    min_size=1,
    max_size=3,
)
FIELDS = NAMES.map(".".join).filter(lambda name: not name.startswith("$"))
TIMES = st.datetimes().map(lambda at: ("timestamp", (at - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
ORDERED = NUMBERS | TEXTS | TIMES
VALUES = ORDERED | st.booleans()
LEAVES = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), FIELDS, VALUES),
    st.tuples(st.sampled_from(["lt", "le", "gt", "ge"]), FIELDS, ORDERED),
    st.tuples(st.just("in"), FIELDS, st.lists(VALUES, min_size=1, max_size=4).map(tuple)),
    st.tuples(st.just("between"), FIELDS, NUMBERS, NUMBERS),
    st.tuples(st.just("between"), FIELDS, TEXTS, TEXTS),
    st.tuples(st.just("between"), FIELDS, TIMES, TIMES),
    st.tuples(st.just("contains"), FIELDS, VALUES),
    st.tuples(st.just("startswith"), FIELDS, TEXTS),
    st.tuples(st.sampled_from(["exists", "null"]), FIELDS),
)


def joined(op: str, terms: list[Any]) -> tuple[Any, ...]:
    return op, tuple(inner for term in terms for inner in (term[1] if term[0] == op else [term]))


TREES: st.SearchStrategy[tuple[Any, ...]] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=4)),
        inner.map(chosen.negated),
    ),
    max_leaves=12,
)


# Types already refuse most of what the tests below try.
anything: Any = col
read: Any = to_tree


def same(a: Any, b: Any) -> bool:
    """Whether two trees are equal and their values of the same types: 1, 1.0 and True are equal in Python."""
    return repr(a) == repr(b)


@given(TREES)
def test_all_spellings_of_a_tree_become_it(tree: tuple[Any, ...]) -> None:
    assert same(to_tree(spell.expression(tree)), tree)
    assert same(to_tree(spell.mapping(tree)), tree)
    assert same(to_tree(spell.sql(tree)), tree)


@given(TREES)
def test_the_repr_of_an_expression_is_code_that_makes_it(tree: tuple[Any, ...]) -> None:
    made = spell.expression(tree)
    names = {"col": col, "datetime": dt.datetime, "float": float, "__builtins__": {}}
    evaluated = eval(repr(made), names)  # noqa: S307 - that repr is code is what is tested.
    assert evaluated == made
    assert same(evaluated.tree, tree)
    assert len(made.explain().splitlines()) >= 1


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_refused_with_a_caret(text: str) -> None:
    try:
        to_tree(text)
    except drift.InvalidArgumentError as error:
        assert "^" in str(error) or "empty text" in str(error)  # noqa: PT017


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                '"b c"',
                "=",
                "<",
                "IN",
                "(",
                ")",
                ",",
                "1",
                "'x'",
                "AND",
                "OR",
                "NOT",
                "IS",
                "NULL",
                "BETWEEN",
                "LIKE",
                ".",
            ]
        ),
        max_size=12,
    )
)
def test_any_words_of_sql_are_a_filter_or_refused_with_a_caret(words: list[str]) -> None:
    try:
        to_tree(" ".join(words))
    except drift.InvalidArgumentError as error:
        assert "^" in str(error) or "empty text" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("spelled", "tree"),
    [
        ({"a": 1, "b": "x"}, ("and", (("eq", "a", 1), ("eq", "b", "x")))),
        ({"a": {"$gte": 1, "$lt": 5}}, ("and", (("ge", "a", 1), ("lt", "a", 5)))),
        ({"a": None}, ("null", "a")),
        ({"a": {"$ne": None}}, ("exists", "a")),
        ({"$nor": [{"a": 1}]}, ("not", ("eq", "a", 1))),
        ({"$not": {"a": 1}}, ("not", ("eq", "a", 1))),
        ({"$and": [{"a": 1}, {"$and": [{"b": 2}]}]}, ("and", (("eq", "a", 1), ("eq", "b", 2)))),
        ({}, ("and", ())),
        ("NOT (NOT a = 1)", ("eq", "a", 1)),
        ("a=1 OR b=2 AND c=3", ("or", (("eq", "a", 1), ("and", (("eq", "b", 2), ("eq", "c", 3)))))),
        ('a."b""c" != -.5e1', ("ne", 'a.b"c', -5.0)),
        ("a LIKE 'x%' and A not like '%y%'", ("and", (("startswith", "a", "x"), ("not", ("contains", "A", "y"))))),
        ("a = 'it''s'\n", ("eq", "a", "it's")),
        ("d >= DATE '1970-01-02'", ("ge", "d", ("timestamp", 86_400_000_000))),
        (col("a") == None, ("null", "a")),  # noqa: E711
        (~(col("a") != None), ("null", "a")),  # noqa: E711
        (col("a") == np.float32(0.5), ("eq", "a", 0.5)),
        (col("a") == np.bool_(True), ("eq", "a", True)),
        (col("a").is_in(np.array([1, 2])), ("in", "a", (1, 2))),
        (col("a").is_in(np.array(["1970-01-01T00:00:01"], "M8[s]")), ("in", "a", (("timestamp", 1_000_000),))),
        (
            col("a") == dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
            ("eq", "a", ("timestamp", 0)),
        ),
        (col("a") == dt.datetime(1970, 1, 1, 0, 0, 1), ("eq", "a", ("timestamp", 1_000_000))),
        (col("a") == pd.Timestamp("1969-12-31T23:59:59.999999"), ("eq", "a", ("timestamp", -1))),
        (col("year") >= 2024, ("ge", "year", 2024)),
    ],
)
def test_a_spelling_becomes_its_tree(spelled: Any, tree: tuple[Any, ...]) -> None:
    assert same(to_tree(spelled), tree)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: (anything("a") == 1) and (anything("b") == 2), "join with & | ~ instead of and, or, not"),
        (lambda: not anything("a").exists(), "join with & | ~"),
        (lambda: 1 < anything("a") < 5, "between"),
        (lambda: anything("a") == 1 & anything("b"), "parentheses"),
        (lambda: (anything("a") == 1) & anything("b"), "compare the field"),
        (lambda: (anything("a") == 1) & True, "only expressions can be joined"),
        (lambda: True | (anything("a") == 1), "only expressions can be joined"),
        (lambda: ~anything("flag"), "col('flag') == True"),
        (lambda: "x" in anything("tags"), "col('tags').contains('x')"),
        (lambda: anything("a") == anything("b"), "not with a field"),
        (lambda: anything("a") == [1], "is_in"),
        (lambda: anything("a") == {"b": 1}, "dots"),
        (lambda: anything("a") < None, "no order"),
        (lambda: anything("a") > True, "booleans have no order"),
        (lambda: anything("a") == float("nan"), "NaN"),
        (lambda: anything("a") == 2**63, "int64"),
        (lambda: anything("a") == np.datetime64("NaT"), "NaT"),
        (lambda: anything("a") == pd.NaT, "compared with NaT"),
        (lambda: anything("a") == "\ud800", "UTF-8"),
        (lambda: anything("a") == object(), "values are bool, int, float, str, datetime or date"),
        (lambda: anything("a").is_in("abc"), "pass a list"),
        (lambda: anything("a").is_in([1, None]), "is_null()"),
        (lambda: anything("a").between(1, "z"), "both must be numbers"),
        (lambda: anything("a").contains(["x"]), "pass one value"),
        (lambda: anything("a").startswith(1), "must be a str"),
        (lambda: anything(""), "must not be empty"),
        (lambda: anything("a..b"), "must not be empty"),
        (lambda: anything(3), "must be a str"),
        (lambda: read({"a": {"$gtt": 1}}), "did you mean $gt?"),
        (lambda: read({"$regex": "x"}), "unknown operator $regex"),
        (lambda: read({"$gt": 1}), "stands under a field"),
        (lambda: read({"a": {"b": 1}}), "{'a.b': ...}"),
        (lambda: read({"a": {"gte": 1}}), "write {'a': {'$gte': ...}}"),
        (lambda: read({"a": [1]}), "$in"),
        (lambda: read({"a": {}}), "no operator"),
        (lambda: read({"$or": []}), "one dict or more"),
        (lambda: read({"$or": {"a": 1}}), "list of one dict or more"),
        (lambda: read({"a": {"$exists": 1}}), "True or False"),
        (lambda: read({"a": {"$between": [1]}}), "[low, high]"),
        (lambda: read({1: 2}), "must be a str"),
        (lambda: read(anything("a")), "compare it"),
        (lambda: read(True), "drift.col"),
        (lambda: read([("a", 1)]), "filter is list"),
        (lambda: read(""), "empty text"),
    ],
)
def test_what_is_no_filter_is_refused_with_what_to_write(make: Callable[[], object], message: str) -> None:
    with pytest.raises(drift.InvalidArgumentError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "at", "message"),
    [
        ("year >= ", 8, "a value must stand here"),
        ("year >= 2024 AND AND x = 1", 17, 'quote "and"'),
        ("a == 1", 2, "equality is written ="),
        ("a = 'x", 4, "no closing '"),
        ("a LIKE '%x'", 7, "'prefix%'"),
        ("a LIKE 'x_y%'", 7, "starts_with"),
        ("a LIKE 'x%' ESCAPE '!'", 12, "ESCAPE"),
        ("a ILIKE 'x%'", 2, "LIKE alone"),
        ("a = NULL", 4, "IS NULL"),
        ("a IN (NULL)", 6, "IS NULL"),
        ("a IN ()", 6, "a value or more"),
        ("a IN (1", 7, "close the list"),
        ("a BETWEEN 1 OR 2", 12, "BETWEEN"),
        ("a IS 5", 5, "after IS"),
        ("a IS NOT NULL b", 14, "AND or OR"),
        ("flag", 4, "field = TRUE"),
        ("listed on >= 5", 7, '"listed on"'),
        ("tags CONTAINS 'a'", 5, "contains(tags, 'text')"),
        ("name startswith 'a'", 5, "starts_with(name, 'text')"),
        ("a =< 5", 3, "write <="),
        ("a => 5", 3, "write >="),
        ('a = "x"', 4, "name of a field: texts are quoted with '"),
        ("'x' IN tags", 0, "that is a list (field = 'text')"),
        ("5 < a", 0, "begins with a field"),
        ("a = b", 4, "quoted with '"),
        ("(a = 1", 6, "close a parenthesis"),
        ("a = 1)", 5, "ends before this"),
        ("a = 1 && b = 2", 6, "AND or OR"),
        ("a = ?", 4, "placeholders"),
        ("`a` = 1", 0, 'quoted with "'),
        ("a = 1; DROP", 5, "does not belong"),
        ("a. = 1", 3, "a field must stand here"),
        ('"" = 1', 0, "must not be empty"),
        ("a < TRUE", 0, "no order"),
        ("a = TIMESTAMP 'yesterday'", 14, "ISO 8601"),
        ("a = TIMESTAMP 5", 14, "single quotes"),
        ("a = 99999999999999999999", 0, "int64"),
        ("(" * 65 + "a = 1" + ")" * 65, 64, "64 levels"),
        ("NOT " * 65 + "a = 1", 64 * 4, "64 levels"),
    ],
)
def test_an_error_in_sql_points_at_its_character(sql: str, at: int, message: str) -> None:
    with pytest.raises(drift.InvalidArgumentError) as caught:
        to_tree(sql)
    text, line, caret = str(caught.value).split("\n")
    assert message in text
    assert f"character {at + 1}:" in text
    if at < len(sql):
        assert line[len(caret) - 1] == sql[at]
    assert caret.strip() == "^"


def test_bounds_are_checked_at_the_door() -> None:
    deep: dict[str, Any] = {"a": 1}
    for level in range(bounds.DEPTH_MAX):
        deep = {"$or": [deep, {"b": 1}]} if level % 2 else {"$and": [deep, {"b": 1}]}
    with pytest.raises(drift.InvalidArgumentError, match="64 levels"):
        to_tree(deep)
    made = col("a") == 1
    for level in range(bounds.DEPTH_MAX - 1):
        made = made | (col("b") == level) if level % 2 else made & (col("b") == level)
    with pytest.raises(drift.InvalidArgumentError, match="64 levels"):
        made | (col("b") == 0)
    wide = {"$or": [{"a": at} for at in range(bounds.TERMS_MAX + 1)]}
    with pytest.raises(drift.InvalidArgumentError, match="is_in takes a list"):
        to_tree(wide)
    wide["$or"].pop()
    assert len(to_tree(wide)[1]) == bounds.TERMS_MAX
    with pytest.raises(drift.InvalidArgumentError, match="65,536 values"):
        col("a").is_in(range(bounds.VALUES_MAX + 1))
    assert len(col("a").is_in(range(bounds.VALUES_MAX)).tree[2]) == bounds.VALUES_MAX
    with pytest.raises(drift.InvalidArgumentError, match="65,536 bytes"):
        to_tree({"a": "x" * (bounds.TEXT_BYTES_MAX + 1)})
    with pytest.raises(drift.InvalidArgumentError, match="is_in"):
        to_tree("a = 1 OR " * 40_000 + "a = 1")
    with pytest.raises(drift.InvalidArgumentError, match="1,024 bytes"):
        col("x" * (bounds.FIELD_BYTES_MAX + 1))


def test_a_dictionary_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {"a": 1}
    endless["$and"] = [endless]
    with pytest.raises(drift.InvalidArgumentError, match="64 levels"):
        to_tree(endless)


def test_expressions_are_values() -> None:
    made = (col("a") == 1) & (col("b") == 2) | ~(col("c").is_in(["x"]))
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301
    assert copy.deepcopy(made) == made
    assert len({made, copy.copy(made), col("a") == 1}) == 2
    assert made != (col("a") == 1)
    with pytest.raises(AttributeError):
        made._tree = ()
    with pytest.raises(AttributeError):
        col("a").anything = 1
    assert pickle.loads(pickle.dumps(col("a"))).name == "a"  # noqa: S301
    with pytest.raises(TypeError):
        hash(col("a"))


def test_joining_flattens_and_two_negations_cancel() -> None:
    a, b, c = col("a") == 1, col("b") == 1, col("c") == 1
    assert ((a & b) & c).tree == (a & (b & c)).tree == ("and", (a.tree, b.tree, c.tree))
    assert (~~a).tree == a.tree
    assert repr(~(a | b)) == "~((col('a') == 1) | (col('b') == 1))"
    assert (~(a & b)).explain() == "not\n  and\n    a == 1\n    b == 1"
