"""`explain` from outside, and the expert overrides of a search that it makes visible."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest

from tests import oracle

if TYPE_CHECKING:
    from tests.conftest import Sample

K = 10

OPTIONS: list[dict[str, Any]] = [
    {},
    {"recall": 0.8},
    {"nprobe": 1_000_000},
    {"nprobe": 3},
    {"target_confidence": 0.9},
    {"target_confidence": 0.7, "lambda_": 8.0, "tau": 0.0},
    {"target_confidence": 0.9, "routing": "geometric"},
    {"target_confidence": 0.999, "lambda_": 0.5, "nprobe": 4},
]


@pytest.fixture(scope="module")
def packages(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a collection of the sample that nothing changes: whoever only reads has neither jobs nor measuring."""
    path = tmp_path_factory.mktemp("explain") / "db"
    with drift.connect(path, durability="os") as db:
        c = db.create_collection("c", dim=sample.rows.shape[1], metric="cosine")
        # Twice, a little apart: more rows than are searched whole.
        c.load([(sample.ids, sample.rows)])
        c.load([(sample.ids + 10_000_000, sample.rows + np.float32(0.01))])
        while c.maintenance.run_once():
            pass
    with drift.connect(path, read_only=True) as db:
        yield db["c"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_explains_the_search_with_these_options(
    packages: drift.Collection, sample: Sample, options: dict[str, Any]
) -> None:
    for query in sample.queries[:20]:
        explained, found = packages.explain(query, **options), packages.search(query, **options)
        assert explained.result.ids.tolist() == found.ids.tolist()
        assert explained.result.distances.tolist() == found.distances.tolist()
        assert explained.work.buckets == explained.scanned.sum()
        assert explained.scanned[: explained.work.buckets].all()
        assert explained.likelihoods.sum() <= 1 + 1e-6
        assert explained.confidence == pytest.approx(explained.likelihoods[explained.scanned].sum())
        if "nprobe" in options or "target_confidence" in options:
            assert explained.recall is None
        else:
            assert explained.recall == options.get("recall", 0.95)
            assert explained.stop in {"difference", "budget", "all"}


def test_what_it_says_can_be_read(packages: drift.Collection, sample: Sample) -> None:
    explained = packages.explain(sample.queries[0], K, nprobe=5)
    assert repr(explained).startswith("<drift.Explanation k=10: 5 of ")
    assert "\n" not in repr(explained)
    lines = str(explained).splitlines()
    head = next(at for at, line in enumerate(lines) if line.split()[:2] == ["rank", "bucket"])
    assert [line.split()[-1] for line in lines[head + 1 : head + 7]] == ["yes"] * 5 + ["no"]
    assert "nprobe: nprobe buckets are scanned" in str(explained)
    assert explained._repr_html_().count("<tr>") > 5
    figures = json.loads(json.dumps(explained.to_dict()))
    assert figures["stop"] == "nprobe"
    assert [bucket["scanned"] for bucket in figures["buckets"][:6]] == [True] * 5 + [False]
    assert figures["work"] == explained.work._asdict()
    assert len(figures["results"]) == K


def test_rows_in_memory_are_told_apart(db: drift.Database) -> None:
    c = db.create_collection("c", dim=8, metric="l2")
    c.upsert(range(30), oracle.vectors(30, 8, 1))
    explained = c.explain(oracle.vectors(1, 8, 2)[0], k=5)
    assert (explained.stop, explained.results_in_memory, explained.work.rows_memory) == ("all", 5, 30)
    assert (explained.buckets_total, explained.work.buckets, explained.threshold) == (0, 0, None)
    assert "30 rows, 5 results from there" in str(explained)
    c.flush()
    c.upsert([99], oracle.vectors(1, 8, 2))
    explained = c.explain(oracle.vectors(1, 8, 2)[0], k=5)
    assert (explained.results_in_memory, explained.work.rows_memory) == (1, 1)
    assert explained.live_rows.sum() == 30


def test_a_confidence_routes_by_live_rows(packages: drift.Collection, sample: Sample) -> None:
    query = sample.queries[1]
    density = packages.explain(query, target_confidence=0.9)
    likelihoods = density.likelihoods
    assert (np.diff(likelihoods) <= 0).all(), "the likeliest come first"
    assert density.confidence >= 0.9 > density.confidence - likelihoods[density.work.buckets - 1]
    for other in sample.queries[:300]:
        nearest = packages.explain(other, target_confidence=0.9, tau=0.0)
        assert (np.diff(nearest.centroid_distances) >= 0).all(), "without the density term the nearest do"
    crowded = packages.explain(query, target_confidence=0.9, lambda_=0.0)
    assert (np.diff(crowded.live_rows.astype(int)) <= 0).all(), "without distance the fullest do"
    geometric = packages.explain(query, target_confidence=0.9, routing="geometric")
    assert geometric.stop == "confidence"
    assert geometric.geometric is not None
    assert geometric.geometric >= 0.88


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target_confidence": 0}, "target_confidence"),
        ({"target_confidence": 1.5}, "target_confidence"),
        ({"target_confidence": "high"}, "target_confidence"),
        ({"target_confidence": True}, "target_confidence"),
        ({"target_confidence": float("nan")}, "target_confidence"),
        ({"target_confidence": 0.9, "lambda_": -1}, "lambda_"),
        ({"target_confidence": 0.9, "lambda_": 1e30}, "lambda_"),
        ({"target_confidence": 0.9, "tau": -1.0}, "tau"),
        ({"target_confidence": 0.9, "tau": "3"}, "tau"),
        ({"target_confidence": 0.9, "routing": "nearest"}, "routing"),
        ({"target_confidence": 0.9, "routing": 3}, "routing"),
        ({"target_confidence": 0.9, "routing": "geometric", "tau": 1.0}, "lambda_ and tau"),
        ({"lambda_": 3.0}, "lambda_ needs target_confidence"),
        ({"tau": 3.0}, "tau needs target_confidence"),
        ({"routing": "density"}, "routing needs target_confidence"),
        ({"nprobe": 0}, "nprobe"),
        ({"recall": 0}, "recall"),
    ],
    ids=str,
)
def test_a_wrong_option_is_named(db: drift.Database, options: dict[str, Any], named: str) -> None:
    c = db.create_collection("c", dim=2, metric="l2")
    c.upsert([1], [[1.0, 2.0]])
    for call in (c.search, c.explain):
        with pytest.raises(drift.InvalidArgumentError, match=named):
            call([0.0, 0.0], **options)


def test_what_has_no_explanation_is_refused(db: drift.Database) -> None:
    c = db.create_collection("c", dim=2, metric="dot")
    c.upsert([1], [[1.0, 2.0]])
    with pytest.raises(drift.InvalidArgumentError, match="one query"):
        c.explain(np.ones((2, 2), np.float32))
    with pytest.raises(drift.InvalidArgumentError, match="k of 1 or more"):
        c.explain([0.0, 0.0], k=0)
    with pytest.raises(drift.InvalidArgumentError, match="k is"):
        c.explain([0.0, 0.0], k=1.5)  # type: ignore[arg-type]
    with pytest.raises(drift.InvalidArgumentError, match="boundaries of buckets"):
        c.explain([0.0, 0.0], target_confidence=0.9, routing="geometric")
