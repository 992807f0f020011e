"""``drift simulate``: runs a workload on drift, and on peers beside it, each in a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
from drift._cli import _add_quiet, _print_json, _print_table, _wants_progress, as_json
from drift._errors import DriftError, InvalidArgumentError

if TYPE_CHECKING:
    from drift.simulate.progress import Told
    from drift.simulate.record import Report
    from drift.simulate.source import Source
    from drift.simulate.workload import Workload

__all__ = ["add_to"]

DESCRIPTION = """\
Run a workload that changes an index step by step, and measure recall, work and speed at each search. Each engine runs
in a process of its own, in the order given, under one setting from the first step to the last. Only ratios between
engines of one run count: the same program differs by a fifth between minutes on a shared machine.

WORKLOAD is a name from --list, or a folder that --save wrote. "paper" is no workload but the tables of drift's sources:
recall and buckets scanned under 50 % churn, with and without the density term and maintenance, over --repeats seeds.
"""
EXAMPLES = """\
examples:
  drift simulate --list
  drift simulate moving --rows 20000 --dim 64 --set speed=0.2
  drift simulate replay --source packages.parquet --time month --engines drift,hnswlib,faiss-ivf --out results
  drift simulate clustered --save work && drift simulate work --recall 0.99 --json
  drift simulate paper --repeats 5
  drift simulate --runbook final_runbook.yaml --source vectors.npy --query-file queries.npy
"""


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    command = commands.add_parser(
        "simulate",
        help="run a workload of inserts, deletes and searches, and measure at each search",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_run)
    command.add_argument("workload", metavar="WORKLOAD", nargs="?", help="name of a workload, or a saved folder")
    command.add_argument("--list", action="store_true", help="list workloads and engines, and stop")
    command.add_argument("--json", action="store_true", help="print JSON for machines")
    _add_quiet(command)
    _add_workload(command.add_argument_group("the workload"))
    _add_setting(command.add_argument_group("the run"))


def _add_workload(group: Any) -> None:
    group.add_argument("--rows", type=int, metavar="N", help="vectors to make (20000), or to use of --source (all)")
    group.add_argument("--dim", type=int, metavar="D", help="dimension of vectors to make (64)")
    group.add_argument("--steps", type=int, metavar="S", help="steps, about as many as searches (20)")
    group.add_argument("--queries", type=int, metavar="Q", help="queries of each search (200)")
    group.add_argument("--seed", type=int, default=7, help="what all random choices follow from (%(default)s)")
    group.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another parameter of the workload, see --list"
    )
    group.add_argument("--source", metavar="FILE", help="take vectors from a .npy or Parquet file instead")
    group.add_argument(
        "--vector", default="embedding", metavar="COLUMN", help="Parquet column of the vectors (%(default)s)"
    )
    group.add_argument("--time", metavar="COLUMN", help="Parquet column of the times, for replay")
    group.add_argument("--metric", choices=["l2", "cosine", "dot"], default="l2", help="distance (%(default)s)")
    group.add_argument("--runbook", metavar="FILE", help="run the steps of a big-ann-benchmarks runbook over --source")
    group.add_argument("--dataset", metavar="NAME", help="which dataset of the runbook, when it has several")
    group.add_argument(
        "--query-file",
        metavar="FILE",
        help="queries of the runbook (rows of --source that it leaves out, or random ones)",
    )
    group.add_argument("--save", metavar="DIR", help="write the workload with its exact neighbours to a folder")


def _add_setting(group: Any) -> None:
    group.add_argument(
        "--engines", default="drift", metavar="LIST", help="engines, with commas between them (%(default)s)"
    )
    group.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="runs of each engine, in turns (%(default)s)"
    )
    group.add_argument("--recall", type=float, default=0.95, help="recall to aim at, in (0, 1] (%(default)s)")
    group.add_argument(
        "--durability", choices=["always", "interval", "os", "none"], default="always", help="of drift (%(default)s)"
    )
    group.add_argument("--batch", type=int, default=1_000, metavar="N", help="rows of one write call (%(default)s)")
    group.add_argument("--passes", type=int, default=3, metavar="N", help="passes over the queries (%(default)s)")
    group.add_argument("--threads", type=int, default=2, metavar="N", help="threads of peers' writes (%(default)s)")
    group.add_argument(
        "--searchers",
        type=int,
        default=0,
        metavar="N",
        help="threads that search drift while it is written (%(default)s)",
    )
    group.add_argument(
        "--no-settle", dest="settle", action="store_false", help="search without waiting for flush and maintenance"
    )
    group.add_argument(
        "--optimize-at-end", action="store_true", help="at the end, compare with a new index of the same rows"
    )
    group.add_argument("--out", metavar="DIR", help="write results.json and steps.png to a folder")


def _run(arguments: argparse.Namespace) -> int:
    from drift.simulate.apart import run_apart
    from drift.simulate.engines import engine
    from drift.simulate.settings import Settings

    if arguments.list:
        return _list(arguments.json)
    if arguments.workload == "paper":
        return _paper(arguments)
    names = ("recall", "durability", "batch", "passes", "threads", "settle", "searchers", "optimize_at_end")
    settings = Settings(**{name: getattr(arguments, name) for name in names})
    if arguments.repeats < 1:
        raise InvalidArgumentError(f"repeats is {arguments.repeats}: it must be 1 or more")
    keys = list(dict.fromkeys(key.strip() for key in arguments.engines.split(",")))
    reasons = {key: engine(key).unavailable() for key in keys}
    workload = _workload(arguments)
    progress = _progress(arguments)
    if arguments.save is not None:
        workload.truth(progress)
        workload.save(arguments.save)
    left_out = {key: reason for key, reason in reasons.items() if reason is not None}
    failed: dict[str, str] = {}
    reports: list[Report] = []
    for key in [key for key in keys if key not in left_out] * arguments.repeats:
        try:
            reports.append(run_apart(workload, key, settings, progress=progress))
        except DriftError as error:
            failed[key] = str(error)
    results = {
        "drift": drift.__version__,
        "runs": [report.as_json() for report in reports],
        "left_out": left_out,
        "failed": failed,
    }
    if arguments.out is not None:
        _write(results, reports, Path(arguments.out))
    if arguments.json:
        _print_json(results)
    else:
        _print(reports, {**left_out, **failed})
    return 1 if failed or not reports else 0


def _paper(arguments: argparse.Namespace) -> int:
    """Print the tables of the sources."""
    from drift.simulate.generate import DIM, ROWS
    from drift.simulate.paper import paper, summarize

    if arguments.repeats < 1:
        raise InvalidArgumentError(f"repeats is {arguments.repeats}: it must be 1 or more")
    cells = paper(
        range(arguments.seed, arguments.seed + arguments.repeats),
        rows=ROWS if arguments.rows is None else arguments.rows,
        dim=DIM if arguments.dim is None else arguments.dim,
        queries=200 if arguments.queries is None else arguments.queries,
        target=arguments.recall,
        source=_source(arguments),
        progress=_progress(arguments),
    )
    summaries = summarize(cells)
    results = {"drift": drift.__version__, "cells": list(map(vars, cells)), "summary": list(map(vars, summaries))}
    if arguments.out is not None:
        folder = Path(arguments.out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "paper.json").write_text(as_json(results, 1) + "\n", encoding="utf-8")
    if arguments.json:
        return _print_json(results)
    columns = ["churn", "healing", "method", "recall", "sd", "buckets", "sd", "codes", "of buckets", "dead rows"]
    rows = [
        [one.churn, "on" if one.healing else "off", one.method, one.recall, one.recall_sd]
        + [round(value, 1) for value in (one.buckets, one.buckets_sd, one.codes)]
        + [round(one.buckets_total), round(one.dead_rows)]
        for one in summaries
    ]
    _print_table(columns, rows)
    return 0


def _progress(arguments: argparse.Namespace) -> Told:
    """Return a bar for people at a terminal, and lines for whoever keeps them."""
    return True if _wants_progress(arguments) else None if arguments.json or arguments.quiet else say


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _list(as_json: bool) -> int:
    from dataclasses import fields

    from drift.simulate.engines import ENGINES
    from drift.simulate.families import FAMILIES

    workloads = [
        {
            "workload": name,
            "what happens": kind.summary(),
            "parameters": ", ".join(f"{field.name}={field.default}" for field in fields(kind)),
            "from": kind.origin,
        }
        for name, kind in FAMILIES.items()
    ]
    engines = [{"engine": key, "available": kind.unavailable() or kind.version()} for key, kind in ENGINES.items()]
    if as_json:
        return _print_json({"workloads": workloads, "engines": engines})
    for one in workloads:
        lines = [one["workload"], f"{one['what happens']}.", one["parameters"], f"From {one['from']}."]
        sys.stdout.write("\n  ".join(lines) + "\n\n")
    _print_table(["engine", "available"], [list(one.values()) for one in engines])
    return 0


def _workload(arguments: argparse.Namespace) -> Workload:
    """Return the workload that the arguments name."""
    from drift.simulate.generate import DIM, ROWS, generate
    from drift.simulate.workload import Workload

    name = arguments.workload
    if (name is None) == (arguments.runbook is None):
        raise InvalidArgumentError("name a workload or a --runbook, one of the two; --list shows the workloads")
    source = _source(arguments)
    if arguments.runbook is not None:
        if source is None:
            raise InvalidArgumentError("a --runbook needs a --source of vectors")
        from drift.simulate.replayed import of_runbook

        return of_runbook(
            arguments.runbook,
            source,
            query_file=arguments.query_file,
            queries=200 if arguments.queries is None else arguments.queries,
            dataset=arguments.dataset,
            seed=arguments.seed,
        )
    if (Path(name) / "workload.json").is_file():
        _say_what_is_ignored(name, arguments)
        return Workload.load(name)
    parameters = {"steps": arguments.steps, "queries": arguments.queries}
    given = {key: value for key, value in parameters.items() if value is not None}
    rows, dim = arguments.rows, arguments.dim
    return generate(
        name,
        rows=ROWS if rows is None else rows,
        dim=DIM if dim is None else dim,
        source=source,
        **{"seed": arguments.seed, **given, **dict(map(_parameter, arguments.set))},
    )


def _say_what_is_ignored(name: str, arguments: argparse.Namespace) -> None:
    """Name the options that would change a saved workload, which has its vectors and steps."""
    for option in ("rows", "dim", "steps", "queries", "source", "set"):
        if getattr(arguments, option) not in (None, []):
            say(f"--{option} does nothing here: {name} is a saved workload")


def _source(arguments: argparse.Namespace) -> Source | None:
    """Return the vectors of the file that the arguments name, if they do."""
    from drift.simulate.source import read

    if arguments.source is None:
        return None
    return read(
        arguments.source,
        vector=arguments.vector,
        time=arguments.time,
        rows=None if arguments.runbook is not None else arguments.rows,
        seed=arguments.seed,
        metric=arguments.metric,
    )


def _parameter(text: str) -> tuple[str, float]:
    """Return the name and the value of NAME=VALUE."""
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        raise InvalidArgumentError(f"--set {text}: it must be NAME=VALUE, the value a number") from None
    return name, int(number) if value.strip().lstrip("+-").isdigit() else number


def _write(results: dict[str, Any], reports: list[Report], folder: Path) -> None:
    """Write JSON, and a plot where matplotlib is installed."""
    from drift.simulate.plot import draw

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(as_json(results, 1) + "\n", encoding="utf-8")
    if reports:
        try:
            draw(reports, folder / "steps.png")
        except InvalidArgumentError as error:
            say(f"no plot: {error}")


def _print(reports: list[Report], missing: dict[str, str]) -> None:
    from drift.simulate.report import overview, steps

    if reports:
        facts, asked = reports[0].workload, reports[0].settings["recall"]
        sys.stdout.write(
            f"{facts['name']}: {facts['rows']:,} x {facts['dim']}, {facts['metric']}, seed {facts['seed']}, "
            f"recall asked {asked:g}\n\n"
        )
    for report in reports:
        sys.stdout.write(f"{report.engine} {report.version}: {report.setup}\n")
        _print_table(*steps(report))
        sys.stdout.write("\n")
    if reports:
        _print_table(*overview(reports))
    for key, reason in missing.items():
        sys.stdout.write(f"left out: {key}: {reason}\n")
