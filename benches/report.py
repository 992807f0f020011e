"""One table and one plot out of the figures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.measure import Outcome, Point, rate_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

TARGETS = (0.90, 0.95, 0.99)


def cells(points: Sequence[Point], rate: Callable[[Point], float]) -> str:
    """Rates at the targets, `-` where one is not reached."""
    rates = [rate_at(points, target, rate) for target in TARGETS]
    return " / ".join("-" if found is None else f"{found:,.0f}" for found in rates)


def table(outcomes: Sequence[Outcome], threads: int) -> str:
    """Return the figures as a Markdown table."""
    head = (
        f"| index | one query, one thread: q/s @.90 / .95 / .99 | batch, {threads} threads: @.90 / .95 / .99 "
        "| build s | rows/s | MB |\n|---|---|---|---|---|---|\n"
    )
    lines = [
        f"| {outcome.name} | {cells(outcome.points, lambda point: point.one_qps)} "
        f"| {cells(outcome.points, lambda point: point.batch_qps)} "
        f"| {outcome.build_seconds:.1f} | {outcome.rows / outcome.build_seconds:,.0f} | {outcome.memory_mb:,.0f} |"
        for outcome in outcomes
    ]
    return head + "\n".join(lines)


def ratios(outcomes: Sequence[Outcome]) -> str:
    """Drift against each peer, within this run; empty when drift was not run."""
    drift = next((outcome for outcome in outcomes if outcome.name == "drift"), None)
    if drift is None:
        return ""
    lines = []
    for peer in outcomes:
        if peer is drift:
            continue
        speeds = []
        for target in TARGETS:
            ours = rate_at(drift.points, target, lambda point: point.one_qps)
            theirs = rate_at(peer.points, target, lambda point: point.one_qps)
            speeds.append(f"{ours / theirs:.2f}x" if ours and theirs else "-")
        lines.append(
            f"against {peer.name}: one query {' / '.join(speeds)}, "
            f"build {peer.build_seconds / drift.build_seconds:.2f}x as fast, "
            f"memory {drift.memory_mb / peer.memory_mb:.2f}x"
        )
    return "\n".join(lines)


def plot(outcomes: Sequence[Outcome], target: Path, title: str) -> None:
    """Recall against queries per second, one curve an engine."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), dpi=120)
    for outcome in outcomes:
        points = [point for point in outcome.points if point.recall >= 0.6]
        axes.plot([p.recall for p in points], [p.one_qps for p in points], marker="o", markersize=3, label=outcome.name)
    axes.set(xlabel="recall@10", ylabel="queries per second, one at a time, one thread", yscale="log", title=title)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target)
    plt.close(figure)
