"""Any sequence of writes, flushes, optimizations and reopens against a dictionary that does the same.

Hypothesis drives it and shrinks what fails; vectors follow from (id, version), so a mix-up of rows shows at once.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

import drift
import numpy as np
import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests import oracle

DIM = 6
ID_COUNT = 40

SOME_IDS = st.lists(st.integers(0, ID_COUNT - 1), max_size=12)


class Machine(RuleBasedStateMachine):
    """A collection beside a dictionary id -> version."""

    metric = "l2"
    id_type = "int"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="drift-model-")
        self.rows: dict[Any, int] = {}
        self.version = 0
        self.db = drift.connect(f"{self.folder}/db", durability="os")
        self.c = self.db.create_collection("docs", dim=DIM, metric=self.metric, id_type=self.id_type)  # type: ignore[arg-type]

    def teardown(self) -> None:
        """Close and remove the database."""
        self.db.close()
        shutil.rmtree(self.folder)

    def name(self, number: int) -> Any:
        """Return the id with this number."""
        return number if self.id_type == "int" else f"id-{number}"

    def expected(self, ids: list[Any]) -> oracle.F32:
        """Return the vectors that these ids must have."""
        numbers = [int(str(id_).removeprefix("id-")) for id_ in ids]
        return oracle.vector_of(numbers, [self.rows[id_] for id_ in ids], DIM)

    def batch(self, numbers: list[int]) -> tuple[list[Any], oracle.F32, list[int]]:
        """Ids, new vectors and versions for one write call; every row has a version of its own."""
        versions = [self.version + at + 1 for at in range(len(numbers))]
        self.version += len(numbers)
        return [self.name(number) for number in numbers], oracle.vector_of(numbers, versions, DIM), versions

    @rule(numbers=SOME_IDS)
    def upsert(self, numbers: list[int]) -> None:
        """Insert or replace; the last of equal ids wins."""
        ids, vectors, versions = self.batch(numbers)
        self.c.upsert(ids, vectors.reshape(-1, DIM))
        self.rows.update(zip(ids, versions, strict=True))

    @rule(numbers=SOME_IDS)
    def add(self, numbers: list[int]) -> None:
        """Insert all, or meet a refusal when an id exists or repeats."""
        ids, vectors, versions = self.batch(numbers)
        if len(set(ids)) < len(ids):
            with pytest.raises((drift.AlreadyExistsError, drift.InvalidArgumentError)):
                self.c.add(ids, vectors)
        elif set(ids) & set(self.rows):
            with pytest.raises(drift.AlreadyExistsError):
                self.c.add(ids, vectors)
        else:
            self.c.add(ids, vectors.reshape(-1, DIM))
            self.rows.update(zip(ids, versions, strict=True))

    @rule(numbers=SOME_IDS)
    def delete(self, numbers: list[int]) -> None:
        """Remove; the count is of ids that existed."""
        ids = [self.name(number) for number in numbers]
        assert self.c.delete(ids) == len(set(ids) & set(self.rows))
        for id_ in ids:
            self.rows.pop(id_, None)

    @rule(numbers=SOME_IDS)
    def get(self, numbers: list[int]) -> None:
        """Read what exists, in the order asked for."""
        ids = list(dict.fromkeys(self.name(number) for number in numbers))
        known = [id_ for id_ in ids if id_ in self.rows]
        got = self.c.get(ids, missing="skip")
        assert oracle.as_list(got.ids) == known
        np.testing.assert_array_equal(got.vectors, self.expected(known).reshape(-1, DIM))
        if len(known) < len(ids):
            with pytest.raises(drift.NotFoundError):
                self.c.get(ids)

    @rule(number=st.integers(0, 1_000), k=st.integers(0, ID_COUNT + 5))
    def search(self, number: int, k: int) -> None:
        """Exact search equals brute force."""
        query = oracle.vector_of([number], [0], DIM)
        result = self.c.search(query, k=k, exact=True)
        ids = list(self.rows)
        if ids:
            oracle.assert_exact(result, self.metric, query, ids, self.expected(ids), k)
        else:
            assert np.isinf(result.distances).all()

    @rule(numbers=st.lists(st.integers(0, ID_COUNT - 1), max_size=12))
    def load(self, numbers: list[int]) -> None:
        """Load in bulk: replaces like an upsert, past the log and the memtable."""
        import pyarrow as pa

        ids, vectors, versions = self.batch(numbers)
        kind = pa.int64() if self.id_type == "int" else pa.string()
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float32()), DIM)
        self.c.load(pa.table({"id": pa.array(ids, kind), "embedding": column}))
        self.rows.update(zip(ids, versions, strict=True))

    @rule()
    def flush(self) -> None:
        """Move the memtable into segments: changes nothing that can be seen."""
        self.c.flush()

    @rule()
    def optimize(self) -> None:
        """Rewrites buckets; changes nothing that can be seen."""
        self.c.optimize()

    @precondition(lambda self: self.rows)
    @rule(durability=st.sampled_from(["always", "interval", "os"]))
    def reopen(self, durability: Any) -> None:
        """Close and open again: every acknowledged row is still there."""
        self.db.close()
        self.db = drift.connect(f"{self.folder}/db", durability=durability)
        self.c = self.db["docs"]
        assert oracle.problems(self.c) == []

    @invariant()
    def same_rows(self) -> None:
        """Count and ids agree after every step."""
        assert len(self.c) == len(self.rows)
        assert oracle.ids_of(self.c) == sorted(self.rows)


class StringMachine(Machine):
    """The same with string ids, under cosine."""

    metric = "cosine"
    id_type = "str"


def test_int_ids_behave_like_a_dictionary() -> None:
    _run(Machine, 60)


def test_string_ids_behave_like_a_dictionary() -> None:
    _run(StringMachine, 30)


def _run(machine: type[Machine], examples: int) -> None:
    """Run the machine under the run's seed."""
    from hypothesis.stateful import run_state_machine_as_test

    seeded = seed(oracle.run_seed())(machine)
    run_state_machine_as_test(seeded, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None))
