"""Exact neighbours by brute force, and the recall of an answer measured against them.

BLAS ranks candidates in float32, a block of rows at a time; the best few of each query are measured again in float64,
because the float32 form of squared L2 loses digits when vectors are long beside their distances. Ties: an answer counts
as a hit when it is as near as the k-th true neighbour, whatever its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drift.simulate.progress import telling
from drift.simulate.steps import F32, F64, I64, Live, Search

if TYPE_CHECKING:
    from drift.simulate.progress import Told
    from drift.simulate.workload import Workload

__all__ = ["K", "compute", "hits", "nearest"]

K = 10
"""Neighbours per query: every figure is recall@10."""
SPARE = 22
"""Candidates beyond `K` that are measured again in float64."""
BLOCK_ROWS = 16_384
BLOCK_QUERIES = 512
"""A block of scores takes 32 MiB."""
SLACK = 1e-6
"""Relative difference of two distances that count as equal: a few ulps of float32."""


def distances(metric: str, query: F32, rows: F32) -> F64:
    """Return the distances of rows to one query in float64: squared L2, ``1 - cos`` or ``-dot``.

    Parameters
    ----------
    metric : {"l2", "cosine", "dot"}
        Which distance.
    query : ndarray of float32, shape (dim,)
        The query.
    rows : ndarray of float32, shape (n, dim)
        The rows.
    """
    q, x = query.astype(np.float64), rows.astype(np.float64)
    if metric == "l2":
        return np.asarray(((x - q) ** 2).sum(axis=1))
    scores = x @ q
    if metric == "dot":
        return np.asarray(-scores)
    return np.asarray(1 - scores / (np.linalg.norm(x, axis=1) * np.linalg.norm(q)))


def nearest(metric: str, queries: F32, vectors: F32, rows: I64, k: int = K) -> I64:
    """Return the nearest rows of each query.

    Parameters
    ----------
    metric : {"l2", "cosine", "dot"}
        Which distance.
    queries : ndarray of float32, shape (m, dim)
        The queries.
    vectors : ndarray of float32, shape (n, dim)
        All vectors.
    rows : ndarray of int64, shape (live,)
        Numbers of the vectors to search among.
    k : int
        Rows per query, 1 or more.

    Returns
    -------
    ndarray of int64, shape (m, k)
        Positions in `rows` from the nearest to the farthest, padded with -1.
    """
    found = np.full((len(queries), k), -1, dtype=np.int64)
    for start in range(0, len(queries), BLOCK_QUERIES):
        part = queries[start : start + BLOCK_QUERIES]
        candidates = _candidates(metric, part, vectors, rows, k + SPARE)
        for at, (query, places) in enumerate(zip(part, candidates, strict=True)):
            exact = distances(metric, query, vectors[rows[places]])
            best = np.lexsort((places, exact))[:k]
            found[start + at, : len(best)] = places[best]
    return found


def _candidates(metric: str, queries: F32, vectors: F32, rows: I64, count: int) -> I64:
    """Positions in `rows` of the best `count` by float32 scores, in no order."""
    # Distances are those between points moved by one vector, and products with a query then differ by one number; where
    # points lie about the origin, float32 keeps the digits that tell them apart.
    moved = metric != "cosine" and len(rows) > 0
    centre = vectors[rows[:BLOCK_ROWS]].mean(axis=0) if moved else np.zeros(vectors.shape[1], dtype=np.float32)
    points = queries - centre if metric == "l2" else queries
    kept_scores = np.empty((len(queries), 0), dtype=np.float32)
    kept_places = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = vectors[rows[start : start + BLOCK_ROWS]] - centre
        scores = points @ block.T
        if metric == "l2":
            scores = 2 * scores - np.einsum("ij,ij->i", block, block)
        elif metric == "cosine":
            scores /= np.linalg.norm(block, axis=1)
        places = np.broadcast_to(np.arange(start, start + len(block)), scores.shape)
        scores, places = np.hstack([kept_scores, scores]), np.hstack([kept_places, places])
        if scores.shape[1] > count:
            best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
            scores, places = np.take_along_axis(scores, best, axis=1), np.take_along_axis(places, best, axis=1)
        kept_scores, kept_places = scores, places
    return kept_places


def compute(workload: Workload, progress: Told = None) -> tuple[I64, ...]:
    """Return the true neighbours at each search step of a workload.

    Parameters
    ----------
    progress : bool or callable, optional
        True shows a bar over the search steps; a callable gets a line of text after each.

    Returns
    -------
    tuple of ndarray of int64, shape (queries of the step, 10)
        Ids from the nearest to the farthest, padded with -1; one array for each search step, in order.
    """
    live = Live(len(workload.vectors))
    searches = sum(isinstance(step, Search) for step in workload.steps)
    found: list[I64] = []
    with telling(progress) as told:
        for number, step in enumerate(workload.steps):
            live.apply(step, number)
            if not isinstance(step, Search):
                continue
            ids = live.ids()
            queries = workload.queries[step.start : step.end]
            places = nearest(workload.metric, queries, workload.vectors, live.row_of[ids])
            found.append(np.where(places >= 0, ids[np.maximum(places, 0)] if len(ids) else -1, -1).astype(np.int64))
            told.bar("exact neighbours", len(found), searches)
            told.line(f"exact neighbours: {len(found)} of {searches} searches")
    return tuple(found)


def hits(workload: Workload, live: Live, step: Search, truth: I64, found: I64) -> tuple[F64, int]:
    """Return the recall of each query of a search step, and how many of the ids that were found do not live.

    Parameters
    ----------
    live : Live
        The rows at this step.
    truth, found : ndarray of int64, shape (queries of the step, 10)
        True neighbours and answer, padded with -1. An id that is found twice counts once.

    Returns
    -------
    recall : ndarray of float64, shape (queries of the step,)
        Share of the true neighbours; 1 where there are none.
    dead : int
        Ids in the answer that do not live: 0 for a correct engine.
    """
    recall = np.ones(len(found))
    dead = 0
    for at, (true_ids, answer) in enumerate(zip(truth, found, strict=True)):
        ids = np.unique(answer[answer >= 0])
        rows = live.row_of[ids[ids < len(live.row_of)]]
        dead += len(ids) - int(np.count_nonzero(rows >= 0))
        true_rows = live.row_of[true_ids[true_ids >= 0]]
        if not true_rows.size:
            continue
        query = workload.queries[step.start + at]
        limit = distances(workload.metric, query, workload.vectors[true_rows]).max()
        measured = distances(workload.metric, query, workload.vectors[rows[rows >= 0]])
        near = np.count_nonzero(measured <= limit + SLACK * max(1.0, abs(limit)))
        recall[at] = min(int(near), len(true_rows)) / len(true_rows)
    return recall, dead
