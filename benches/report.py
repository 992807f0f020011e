"""Tables and a plot out of the figures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benches.measure import Outcome, Point, front, rate_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TARGETS = (0.90, 0.95, 0.99)
AT_TARGETS = "@" + " / ".join(f"{target:.2f}"[1:] for target in TARGETS)
PLOT_RECALL = 0.8


def one(point: Point) -> float:
    """Return queries per second, one call each."""
    return point.one_qps


def batch(point: Point) -> float:
    """Return queries per second, all in one call."""
    return point.batch_qps


def table(outcomes: Sequence[Outcome], threads: int) -> str:
    """Return the figures as a Markdown table, `-` where a recall is not reached."""

    def cells(points: Sequence[Point], rate: Callable[[Point], float]) -> str:
        rates = [rate_at(points, target, rate) for target in TARGETS]
        return " / ".join("-" if found is None else f"{found:,.0f}" for found in rates)

    head = (
        f"| index | one query, one thread: q/s {AT_TARGETS} | batch, {threads} threads: {AT_TARGETS} "
        "| build s | rows/s | MB |\n|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(
        f"| {outcome.name} | {cells(outcome.points, one)} | {cells(outcome.points, batch)} "
        f"| {outcome.build_seconds:.1f} | {outcome.rows / outcome.build_seconds:,.0f} | {outcome.memory_mb:,.0f} |"
        for outcome in outcomes
    )


def ratios(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Drift against each other engine of the run; empty when drift was not run.

    Speeds are drift's over the other's at each target (none where one of the two does not reach it), `build` is how
    many times as fast drift builds, `memory` is drift's share of the other's.
    """
    drift = next((outcome for outcome in outcomes if outcome.key == "drift"), None)
    if drift is None:
        return {}

    def speeds(peer: Outcome, rate: Callable[[Point], float]) -> list[float | None]:
        pairs = [(rate_at(drift.points, at, rate), rate_at(peer.points, at, rate)) for at in TARGETS]
        return [ours / theirs if ours and theirs else None for ours, theirs in pairs]

    return {
        peer.name: {
            "one": speeds(peer, one),
            "batch": speeds(peer, batch),
            "build": peer.build_seconds / drift.build_seconds,
            "memory": drift.memory_mb / peer.memory_mb if peer.memory_mb > 0 else None,
        }
        for peer in outcomes
        if peer is not drift
    }


def times(value: float | None) -> str:
    """Format a ratio."""
    return "-" if value is None else f"{value:.2f}x"


def ratio_table(outcomes: Sequence[Outcome]) -> str:
    """Return the ratios as a Markdown table; empty when drift was not run."""
    found = ratios(outcomes)
    if not found:
        return ""
    head = (
        f"| drift against | one query {AT_TARGETS} | batch {AT_TARGETS} | build speed | MB |\n|---|---|---|---|---|\n"
    )
    return head + "\n".join(
        f"| {name} | {' / '.join(map(times, ratio['one']))} | {' / '.join(map(times, ratio['batch']))} "
        f"| {times(ratio['build'])} | {times(ratio['memory'])} |"
        for name, ratio in found.items()
    )


def counter_table(outcome: Outcome) -> str:
    """Return what an engine counted per query at each setting; empty for one that counts nothing."""
    names = list(dict.fromkeys(name for point in outcome.points for name in point.counters))
    if not names:
        return ""
    head = f"| {outcome.name}, per query | found | {' | '.join(names)} |\n{'|---' * (len(names) + 2)}|\n"
    return head + "\n".join(
        f"| {', '.join(f'{key} {value:g}' for key, value in point.setting.items())} | {point.recall:.4f} "
        f"| {' | '.join(f'{point.counters.get(name, 0):,.1f}' for name in names)} |"
        for point in outcome.points
    )


def text(outcomes: Sequence[Outcome], missing: Mapping[str, str], threads: int) -> str:
    """Return all tables, and the engines that were left out."""
    left_out = "\n".join(f"left out: {key}: {reason}" for key, reason in missing.items())
    parts = [table(outcomes, threads), left_out, ratio_table(outcomes), *map(counter_table, outcomes)]
    return "\n\n".join(part for part in parts if part)


def plot(outcomes: Sequence[Outcome], target: Path, title: str, threads: int) -> None:
    """Recall against queries per second, one curve an engine: of its settings, those that no other one beats."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(14, 6), dpi=120, sharey=True, layout="constrained")
    colors = plt.get_cmap("tab20").colors
    for axes, rate, what in zip(
        panels, (one, batch), ("one query, one thread", f"batch, {threads} threads"), strict=True
    ):
        for number, outcome in enumerate(outcomes):
            points = [point for point in front(outcome.points, rate) if point.recall >= PLOT_RECALL]
            axes.plot(
                [point.recall for point in points],
                [rate(point) for point in points],
                color=colors[number % len(colors)],
                marker="os^Dv"[number % 5],
                markersize=3.5,
                linewidth=2.6 if outcome.key.startswith("drift") else 1.1,
                label=outcome.name,
            )
        axes.set(xlabel=f"recall@10, {what}", yscale="log", xlim=(PLOT_RECALL, 1))
        axes.grid(visible=True, which="both", alpha=0.3)
    panels[0].set_ylabel("queries per second")
    figure.suptitle(title)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=9)
    figure.savefig(target)
    plt.close(figure)
