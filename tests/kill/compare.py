"""What a killed child left against the journal of what it was told: the rules that were broken, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import drift

from tests import oracle
from tests.kill import plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kill.nursery import Journal


def compare(path: Path, durability: str, journal: Journal) -> tuple[list[str], plan.Model]:
    """Open what the child left and return the failures found, and the model that the database holds."""
    try:
        with drift.connect(path, durability=durability) as db:  # type: ignore[arg-type]
            collection = db.create_collection("docs", dim=plan.DIM, metric="l2", exist_ok=True)
            return check_rows(collection, journal)
    except drift.DriftError as error:
        return [f"{type(error).__name__} after a kill: {error}"], journal.model


def check_rows(collection: drift.Collection, journal: Journal) -> tuple[list[str], plan.Model]:
    """Return the failures of an open collection against the journal, and the model it holds."""
    failures = [f"verify: {problem}" for problem in oracle.problems(collection)]
    ids = oracle.ids_of(collection)
    before = journal.model
    after = journal.pending.apply(before) if journal.pending else before
    vectors = collection.get(ids).vectors
    held = next((model for model in (before, after) if matches(model, ids, vectors)), None)
    if held is None:
        return [*failures, explain(journal, ids, vectors)], before
    if len(collection) != len(ids):
        failures.append(f"len() is {len(collection)}, ids() has {len(ids)}")
    for id_ in ids[:: max(1, len(ids) // 5)]:
        hits = collection.search(expected([id_], held)[0], k=3, exact=True).ids.tolist()
        if hits[0] != id_ or len({hit for hit in hits if hit >= 0}) != min(3, len(ids)):
            failures.append(f"exact search for the vector of {id_} finds {hits}")
    return failures, held


def expected(ids: list[int], model: plan.Model) -> oracle.F32:
    """Return the vectors that ids must have."""
    return oracle.vector_of(ids, [model[id_] for id_ in ids], plan.DIM)


def matches(model: plan.Model, ids: list[int], vectors: oracle.F32) -> bool:
    """Whether the database holds exactly this model."""
    return ids == sorted(model) and bool((vectors == expected(ids, model)).all())


def explain(journal: Journal, ids: list[int], vectors: oracle.F32) -> str:
    """Says which rule was broken, for a database that holds neither model."""
    known, before = set(ids), journal.model
    touched = set(journal.pending.ids) if journal.pending else set()
    lost = sorted(set(before) - known - touched)
    back = sorted(known - set(before) - touched)
    sound = [id_ for id_ in ids if id_ in before and id_ not in touched]
    rows = {id_: at for at, id_ in enumerate(ids)}
    wrong = [id_ for id_ in sound if (vectors[rows[id_]] != expected([id_], before)[0]).any()]
    parts = [f"lost {lost}", f"back {back}", f"wrong vector {wrong}"] if lost or back or wrong else ["half a batch"]
    return f"{', '.join(parts)}; under way: {journal.pending}"
