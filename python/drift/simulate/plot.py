"""A picture of reports over the steps: recall, work, speed and the slowest calls, one curve an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from drift.simulate.record import Record, Report

__all__ = ["draw"]

PANELS: tuple[tuple[str, Callable[[Record], float | None], str], ...] = (
    ("recall@10: mean, and 5th percentile (dotted)", lambda record: record.recall, "linear"),
    ("codes compared per query / living rows", lambda record: record.share, "linear"),
    ("queries per second, one thread", lambda record: record.search.per_second, "log"),
    ("99th percentile of a call, ms", lambda record: record.search.p99_ms, "log"),
)


def draw(reports: Sequence[Report], path: str | os.PathLike[str]) -> None:
    """Draw the reports of one workload into a PNG file. Needs matplotlib (extra ``simulate``).

    Parameters
    ----------
    reports : sequence of Report
        At least one.
    path : str or path
        The file to write.

    Raises
    ------
    InvalidArgumentError
        When matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise InvalidArgumentError("plots are drawn with matplotlib: pip install 'drift-vector[simulate]'") from None
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(2, 2, figsize=(13, 8), dpi=110, sharex=True, layout="constrained")
    colors = plt.get_cmap("tab10").colors
    panels = list(grid.flat)
    for axes, (title, figure_of, scale) in zip(panels, PANELS, strict=True):
        for number, report in enumerate(reports):
            points = [(at, figure_of(record)) for at, record in enumerate(report.records, start=1)]
            known = [(at, value) for at, value in points if value is not None]
            color = colors[number % len(colors)]
            width = 2.4 if report.engine == "drift" else 1.2
            x, y = [at for at, _ in known], [value for _, value in known]
            axes.plot(x, y, color=color, linewidth=width, label=report.engine)
            if axes is panels[0]:
                low = [record.recall_p5 for record in report.records]
                axes.plot(range(1, len(low) + 1), low, color=color, linewidth=0.9, linestyle=":")
        axes.set(title=title, yscale=scale)
        axes.grid(visible=True, which="both", alpha=0.3)
    panels[0].axhline(float(reports[0].settings["recall"]), color="black", linewidth=0.8, linestyle="--")
    for axes in panels[2:]:
        axes.set_xlabel("search step")
    facts = reports[0].workload
    figure.suptitle(
        f"{facts['name']}: {facts['rows']:,} x {facts['dim']}, {facts['metric']}, seed {facts['seed']}, "
        f"recall asked {reports[0].settings['recall']:g}"
    )
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    figure.savefig(path)
    plt.close(figure)
