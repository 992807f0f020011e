"""The command line of VectorDBBench for drift: ``python -m drift.adapters.vectordb_bench --uri FOLDER ...``.

VectorDBBench's own commands take databases of its enumeration alone. This one has all their options, makes the same
task of them with drift in the place of a database, and hands it to VectorDBBench's runner. Results go to a folder of
one's own, since the pages of VectorDBBench cannot read those of a database that they do not know.
"""

from __future__ import annotations

import json
import os
import sys
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from vectordb_bench import interface
from vectordb_bench.backend.cases import CaseType
from vectordb_bench.cli.cli import (
    CommonTypedDict,
    click_parameter_decorators_from_typed_dict,
    get_case_payload_profile,
    get_custom_case_config,
    parse_task_stages,
    resolve_db_note,
)
from vectordb_bench.models import CaseConfig, ConcurrencySearchConfig, ResultLabel, TaskConfig

from drift.adapters.vectordb_bench import DriftCaseConfig, DriftClient, DriftConfig

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Database", "DriftTask", "main", "run"]

# How often the runner, which works in another process, is asked whether it has ended.
_POLL_SECONDS = 0.2

_SHOWN = ("load_duration", "recall", "qps", "serial_latency_p99")

_OPTIONS = (
    click.option("--uri", required=True, help="Folder of the database"),
    click.option("--precision", type=click.Choice(["1bit", "sq8"]), default="1bit", show_default=True),
    click.option("--recall", type=float, default=0.95, show_default=True, help="Recall that searches aim at"),
    click.option(
        "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Folder"
    ),
)


class Database(Enum):
    """drift as an entry of VectorDBBench's enumeration of databases would be."""

    Drift = "drift"

    @property
    def init_cls(self) -> type[DriftClient]:
        """The client."""
        return DriftClient


class DriftTask(TaskConfig):  # type: ignore[misc]
    """A task of VectorDBBench whose database is drift."""

    db: Database = Database.Drift


def run(task: DriftTask, results: Path, label: str | None = None) -> dict[str, Any]:
    """Run a task in VectorDBBench's runner, and return the result of its case as it was written to `results`.

    Raises
    ------
    RuntimeError
        When the runner ends without a result.
    """
    before = set(results.rglob("*.json"))
    # Read by the process that the runner starts.
    os.environ["RESULTS_LOCAL_DIR"] = str(results.absolute())
    runner = interface.BenchMarkRunner()
    runner.run([task], label)
    while runner.has_running():
        process = interface.global_result_future
        if process is not None and process.done() and runner.has_running():
            process.result()  # It died without a word: this raises what is known of it.
            break
        time.sleep(_POLL_SECONDS)
    written = set(results.rglob("*.json")) - before
    if not written:
        raise RuntimeError(f"VectorDBBench wrote no result into {results}: {runner.latest_error or 'its log says why'}")
    case: dict[str, Any] = json.loads(written.pop().read_text())["results"][0]
    return case


def _command(case: Callable[..., None]) -> Callable[[], None]:
    """Return a command with drift's options and all that the commands of VectorDBBench have."""
    for option in _OPTIONS:
        case = option(case)
    made: Callable[[], None] = click.command(click_parameter_decorators_from_typed_dict(CommonTypedDict)(case))
    return made


@_command
def main(uri: str, precision: str, recall: float, results: Path, **given: Any) -> None:
    """Run a case of VectorDBBench with drift."""
    note = resolve_db_note(given["note"], given["note_file"])
    task = DriftTask(
        db_config=DriftConfig(uri=str(Path(uri).absolute()), db_label=given["db_label"], note=note),
        db_case_config=DriftCaseConfig(precision=precision, recall=recall),
        case_config=CaseConfig(
            case_id=CaseType[given["case_type"]],
            payload_profile=get_case_payload_profile(given),
            k=given["k"],
            concurrency_search_config=ConcurrencySearchConfig(
                concurrency_duration=given["concurrency_duration"],
                num_concurrency=[int(processes) for processes in given["num_concurrency"]],
                concurrency_timeout=given["concurrency_timeout"],
                serial_cooldown=given["serial_cooldown"],
            ),
            custom_case=get_custom_case_config(given),
        ),
        stages=parse_task_stages(
            given["drop_old"] and given["load"], given["load"], given["search_serial"], given["search_concurrent"]
        ),
        load_concurrency=given["load_concurrency"],
        insert_batch_size=given["insert_batch_size"],
    )
    if given["dry_run"]:
        click.echo(repr(task))
        return
    case = run(task, results, given["task_label"])
    click.echo(json.dumps({name: case["metrics"].get(name) for name in _SHOWN}))
    if case["label"] != ResultLabel.NORMAL.value:
        sys.exit(f"the case ended with {case['label']!r}; the log of VectorDBBench says why")
