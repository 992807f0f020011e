"""scikit-learn's own checks of estimators, and drift's transformer beside `KNeighborsTransformer`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from tests import oracle

pytest.importorskip("sklearn", reason="the extra suites is not installed")

from drift.adapters.sklearn import DriftTransformer
from sklearn.cluster import DBSCAN
from sklearn.neighbors import KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

SETTINGS = [DriftTransformer(), DriftTransformer(mode="connectivity", exact=True)]


# The checks warn of their own data on purpose.
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(SETTINGS)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_the_graph_is_that_of_the_exact_transformer(metric: str, mode: str) -> None:
    rows, queries = oracle.vectors(400, 16, 71), oracle.vectors(50, 16, 72)
    ours = DriftTransformer(n_neighbors=7, metric=metric, mode=mode, exact=True).fit(rows)
    theirs = KNeighborsTransformer(n_neighbors=7, metric=metric, mode=mode, algorithm="brute").fit(rows)
    found, expected = ours.transform(queries), theirs.transform(queries)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_allclose(np.sort(found.data), np.sort(expected.data), rtol=1e-4, atol=1e-4)
    assert (found != 0).multiply(expected != 0).nnz >= 0.999 * expected.nnz


def test_a_pipeline_clusters_as_it_does_without_drift() -> None:
    rows = oracle.vectors(300, 8, 73)
    plain = DBSCAN(eps=3.0, metric="euclidean").fit_predict(rows)
    graph = DriftTransformer(n_neighbors=299 - 1, mode="distance", exact=True)
    ours = make_pipeline(graph, DBSCAN(eps=3.0, metric="precomputed")).fit_predict(rows)
    assert len(set(plain.tolist())) > 1
    np.testing.assert_array_equal(ours, plain)


def test_a_pickled_transformer_answers_the_same_and_frees_its_index() -> None:
    rows = oracle.vectors(200, 8, 74)
    fitted = DriftTransformer(n_neighbors=3).fit(rows)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.transform(rows).toarray(), fitted.transform(rows).toarray())
    database = again._index.database
    del again
    assert database.closed


def test_more_neighbours_than_rows_are_refused() -> None:
    fitted = DriftTransformer(n_neighbors=5).fit(np.eye(3))
    with pytest.raises(ValueError, match="n_neighbors <= n_samples_fit"):
        fitted.transform(np.eye(3))
