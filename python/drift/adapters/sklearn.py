"""A scikit-learn transformer into neighbour graphs, for estimators that take them: DBSCAN, Isomap, t-SNE, k-NN.

It stands where `sklearn.neighbors.KNeighborsTransformer` does and keeps its rows in an index of drift in memory. Needs
the extra ``sklearn``.
"""

from __future__ import annotations

import uuid
import weakref
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

import drift

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

__all__ = ["DriftTransformer"]

# Up to here comparing with every row takes a fraction of a millisecond a query, and the same rows always give the same
# graph: above, the index samples at random, and two fits may differ in the last neighbours.
_EXACT_ROWS_MAX = 4_096

_METRICS = {"euclidean": "l2", "sqeuclidean": "l2", "cosine": "cosine"}


class DriftTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transform rows into the sparse graph of their nearest neighbours among the rows that were fitted.

    Parameters
    ----------
    n_neighbors : int
        Neighbours of each row, 1 or more. In mode "distance" one more is returned, as `KNeighborsTransformer` does,
        since a fitted row is its own nearest neighbour.
    mode : {"distance", "connectivity"}
        What stands in the graph: distances, or ones.
    metric : {"euclidean", "sqeuclidean", "cosine"}
        Distance; under "cosine" no row may be zero.
    recall : float
        Share of the true neighbours to aim at, in (0, 1].
    exact : bool
        Compare with every row, as is done anyway up to 4,096 rows.

    Attributes
    ----------
    n_features_in_ : int
        Number of features of the rows that were fitted.
    n_samples_fit_ : int
        Number of rows that were fitted.

    Notes
    -----
    Values are rounded to float32. A fitted transformer pickles with its rows and builds the index anew.

    Examples
    --------
    >>> import numpy as np
    >>> from drift.adapters.sklearn import DriftTransformer
    >>> rows = np.array([[0.0], [1.0], [3.0]])
    >>> DriftTransformer(n_neighbors=1).fit_transform(rows).toarray()
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 2., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "mode": [StrOptions({"distance", "connectivity"})],
        "metric": [StrOptions(set(_METRICS))],
        "recall": [Interval(Real, 0, 1, closed="right")],
        "exact": ["boolean"],
    }

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        mode: str = "distance",
        metric: str = "euclidean",
        recall: float = 0.95,
        exact: bool = False,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.mode = mode
        self.metric = metric
        self.recall = recall
        self.exact = exact

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: ARG002, N803 - names of scikit-learn.
        """Build the index of the rows `X`, array_like of shape (n_samples, n_features); `y` is ignored."""
        self._validate_params()
        rows = validate_data(self, X, dtype=[np.float32, np.float64], ensure_min_features=1)
        self.n_samples_fit_ = len(rows)
        self._n_features_out = len(rows)
        self._index = _build(_float32(rows), _METRICS[self.metric])
        return self

    def transform(self, X: ArrayLike) -> csr_matrix:  # noqa: N803
        """Return the neighbour graph of rows.

        Parameters
        ----------
        X : array_like, shape (n_queries, n_features)

        Returns
        -------
        csr_matrix of float64, shape (n_queries, n_samples_fit)
            In each row the distances to the nearest fitted rows, ascending, or ones.
        """
        check_is_fitted(self, "_index")
        return self.kneighbors_graph(X, self.n_neighbors + (self.mode == "distance"), self.mode)

    def kneighbors(
        self,
        X: ArrayLike,  # noqa: N803
        n_neighbors: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return distances and numbers of the nearest fitted rows, each of shape (n_queries, n_neighbors)."""
        check_is_fitted(self, "_index")
        rows = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        wanted = self.n_neighbors if n_neighbors is None else n_neighbors
        if wanted > self.n_samples_fit_:
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit, but n_neighbors = {wanted}, n_samples_fit = "
                f"{self.n_samples_fit_}, n_samples = {len(rows)}"
            )
        exact = bool(self.exact) or self.n_samples_fit_ <= _EXACT_ROWS_MAX
        found = self._index.search(_float32(rows), k=wanted, recall=self.recall, exact=exact)
        distances = np.maximum(found.distances.astype(np.float64), 0.0)
        return np.sqrt(distances) if self.metric == "euclidean" else distances, found.ids.astype(np.int64)

    def kneighbors_graph(
        self,
        X: ArrayLike,  # noqa: N803
        n_neighbors: int | None = None,
        mode: str = "connectivity",
    ) -> csr_matrix:
        """Return the graph of the nearest fitted rows, csr_matrix of shape (n_queries, n_samples_fit)."""
        distances, ids = self.kneighbors(X, n_neighbors)
        values = distances if mode == "distance" else np.ones_like(distances)
        starts = np.arange(0, ids.size + 1, max(ids.shape[1], 1))
        return csr_matrix((values.ravel(), ids.ravel(), starts), shape=(len(ids), self.n_samples_fit_))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        index = state.pop("_index", None)
        if index is not None:
            state["_rows"] = index.get(np.arange(self.n_samples_fit_)).vectors
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        rows = state.pop("_rows", None)
        super().__setstate__(state)
        if rows is not None:
            self._index = _build(rows, _METRICS[self.metric])


def _float32(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Return rows in float32; what overflows is refused as infinite."""
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(rows, dtype=np.float32)
    checked: NDArray[np.float32] = check_array(narrow, dtype=np.float32, ensure_min_samples=0)
    return checked


def _build(rows: NDArray[np.float32], metric: str) -> drift.Collection:
    """Return a collection in memory whose ids are the numbers of the rows; it goes with its last user."""
    database = drift.connect(f"memory://sklearn-{uuid.uuid4().hex}", durability="none")
    index = database.create_collection("rows", dim=rows.shape[1], metric=metric)  # type: ignore[arg-type]
    index.load([(np.arange(len(rows)), rows)])
    weakref.finalize(index, _drop, database)
    return index


def _drop(database: drift.Database) -> None:
    if not database.closed:
        database.drop_collection("rows")
        database.close()
