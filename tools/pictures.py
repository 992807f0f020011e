"""Draws the pictures of the documentation from real runs: ``python -m tools.pictures``.

Gaussian clusters move in straight lines while a window of the newest rows lives: what lies under the index changes, the
number of rows does not. One collection keeps its background maintenance, the other has it paused, and nothing else
differs. Writes ``docs/pictures/*.png`` and, with the figures that the pictures show, ``docs/pictures/figures.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import matplotlib as mpl
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"

# Small enough to draw in a minute, large enough for some hundred buckets.
ROWS, DIM, CLUSTERS, STEPS, QUERIES, K = 12_000, 64, 12, 12, 200, 10
SHOWN = (0, 3, 7, 11)
KEPT, PAUSED = "maintained", "maintenance paused"
COLORS = {KEPT: "#0072b2", PAUSED: "#d55e00"}


class Moving:
    """Rows of clusters whose centres move by half of a cluster's radius a step."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.centres = self.random.normal(size=(CLUSTERS, DIM)) * 3
        ways = self.random.normal(size=(CLUSTERS, DIM))
        self.ways = ways / np.linalg.norm(ways, axis=1, keepdims=True) * np.sqrt(DIM) * 0.5

    def rows(self, count: int) -> NDArray[np.float32]:
        """Return rows of this moment."""
        chosen = self.centres[self.random.integers(CLUSTERS, size=count)]
        return (chosen + self.random.normal(size=(count, DIM))).astype(np.float32)

    def step(self) -> None:
        """Move the centres."""
        self.centres += self.ways


def run() -> tuple[dict[str, list[dict[str, Any]]], list[NDArray[np.float32]]]:
    """Return what was measured at each step in both collections, and the rows that lived then."""
    measured: dict[str, list[dict[str, Any]]] = {KEPT: [], PAUSED: []}
    moments: list[NDArray[np.float32]] = []
    for name in (KEPT, PAUSED):
        data, moments = Moving(7), []
        with drift.connect(f"memory://pictures-{len(name)}") as db:
            c = db.create_collection("rows", dim=DIM, metric="l2")
            live = data.rows(ROWS)
            c.load([(range(ROWS), live)])
            if name == PAUSED:
                c.maintenance.pause()
            for step in range(STEPS):
                if step:
                    data.step()
                    fresh = data.rows(ROWS // 6)
                    first = ROWS + (step - 1) * len(fresh)
                    c.upsert(range(first, first + len(fresh)), fresh)
                    c.delete(range(first - ROWS, first - ROWS + len(fresh)))
                    live = np.concatenate([live[len(fresh) :], fresh])
                    c.flush()
                    if name == KEPT:
                        c.maintenance.run_once()
                moments.append(live)
                measured[name].append(measure(c, live[-ROWS // 6 :][:QUERIES] + 0.1))
    return measured, moments


def measure(c: drift.Collection, queries: NDArray[np.float32]) -> dict[str, Any]:
    """Return recall and work of queries near the newest rows, and the state of the buckets."""
    exact = c.search(queries, K, exact=True).ids
    before = c.stats()
    found = c.search(queries, K).ids
    after = c.stats()
    health = c.health()
    return {
        "recall": float(
            np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
        ),
        "codes": (after["rows_scanned"] - before["rows_scanned"]) / len(queries),
        "sizes": np.sort(health.bucket_rows)[::-1].tolist(),
        # An empty bucket has no mean of rows.
        "drift": health.bucket_drift[(health.bucket_rows > 0) & np.isfinite(health.bucket_drift)].tolist(),
    }


def draw_buckets(measured: dict[str, list[dict[str, Any]]], moments: list[NDArray[np.float32]]) -> None:
    """Draw rows, bucket sizes and the drift of buckets at four steps."""
    figure, grid = plt.subplots(3, len(SHOWN), figsize=(13, 8.5), dpi=100, layout="constrained")
    whole = np.concatenate([moments[at] for at in SHOWN])
    middle = whole.mean(axis=0)
    axes_2d = np.linalg.svd(whole[::7] - middle, full_matrices=False)[2][:2]
    largest = max(max(one["sizes"]) for steps in measured.values() for one in steps)
    for column, step in enumerate(SHOWN):
        flat = (moments[step] - middle) @ axes_2d.T
        grid[0, column].scatter(*flat.T, s=1, alpha=0.3, color="#444444", rasterized=True)
        grid[0, column].set(title=f"step {step + 1}", xticks=[], yticks=[])
        bounds = (whole - middle) @ axes_2d.T
        grid[0, column].set(
            xlim=(bounds[:, 0].min(), bounds[:, 0].max()), ylim=(bounds[:, 1].min(), bounds[:, 1].max())
        )
        for name, steps in measured.items():
            sizes, drifts = steps[step]["sizes"], steps[step]["drift"]
            grid[1, column].plot(sizes, color=COLORS[name], label=f"{name}: {len(sizes)} buckets")
            grid[2, column].hist(
                np.clip(drifts, 0, 2), bins=40, range=(0, 2), color=COLORS[name], alpha=0.6, label=name
            )
        grid[1, column].set(yscale="symlog", ylim=(0, largest * 1.2), xlabel="bucket, largest first")
        grid[1, column].legend(fontsize=7)
        grid[2, column].set(yscale="symlog", xlabel="drift (centre to mean of rows, in radii)")
    grid[0, 0].set_ylabel("live rows, two directions")
    grid[1, 0].set_ylabel("live rows of a bucket")
    grid[2, 0].set_ylabel("buckets")
    grid[2, 0].legend(fontsize=7)
    figure.savefig(FOLDER / "buckets.png")
    plt.close(figure)


def draw_recall(measured: dict[str, list[dict[str, Any]]]) -> None:
    """Draw recall and work over the steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), dpi=100, layout="constrained")
    steps = range(1, STEPS + 1)
    for name, found in measured.items():
        left.plot(steps, [one["recall"] for one in found], color=COLORS[name], marker="o", label=name)
        right.plot(steps, [one["codes"] for one in found], color=COLORS[name], marker="o", label=name)
    left.axhline(0.95, color="#888888", linestyle=":", label="asked for")
    left.set(title="recall@10 of searches near the newest rows", xlabel="step")
    right.set(title="codes scanned per query", xlabel="step", ylim=(0, None))
    left.legend()
    right.legend()
    figure.savefig(FOLDER / "recall.png")
    plt.close(figure)


def main() -> None:
    """Run, draw and write."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    measured, moments = run()
    draw_buckets(measured, moments)
    draw_recall(measured)
    figures = {
        name: [
            {
                "recall": round(one["recall"], 4),
                "codes": round(one["codes"]),
                "buckets": len(one["sizes"]),
                "largest": one["sizes"][0],
                "empty": one["sizes"].count(0),
                "drift_median": round(float(np.median(one["drift"])), 3),
                "drift_max": round(max(one["drift"]), 3),
            }
            for one in steps
        ]
        for name, steps in measured.items()
    }
    (FOLDER / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    for name, steps in figures.items():
        print(name, *steps, sep="\n  ")


if __name__ == "__main__":
    main()
