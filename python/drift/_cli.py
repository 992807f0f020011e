"""The ``drift`` command, from create to simulate.

Tables for people, ``--json`` for machines. Exit codes: 0 done, 1 failed or found problems, 2 wrong usage. Errors are
one line on stderr. The standard library only; ``--show`` reads Parquet with pyarrow (extra ``arrow``).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

import drift
from drift import _cli_rows, _cli_words, _completion, _time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXAMPLES = """\
examples:
  drift create ./db packages --dim 384 --metric cosine
  drift load ./db packages examples/data/packages_5k.parquet --metadata all
  drift search ./db packages --id 17 -k 5 --filter "month >= 202001" --include name,summary
  drift search ./db packages --vector query.npy --exact --json
  drift stats ./db

"drift COMMAND --help" explains a command. Exit codes: 0 done, 1 failed or found problems, 2 wrong usage.
"""


class UsageError(Exception):
    """Arguments that argparse accepts but that do not fit together."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process when None.
    """
    for name in ("stdout", "stderr"):
        # `>&-`: nobody reads it.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    parser = _parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        code = run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        return _fail(error, 2)
    except BrokenPipeError:
        # The reader has gone (`| head`); what is left in the buffer must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (drift.DriftError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail(_cli_words.interrupted(arguments), 1)
    return code


def _fail(error: object, code: int) -> int:
    sys.stderr.write(f"drift: error: {_cli_words.sentence(error)}\n")
    return code


# The parser -------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = _cli_words.Parser(
        prog="drift",
        description="Create, fill, search and check drift vector databases.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"drift {drift.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    _add_writers(commands)
    _cli_rows.add_to(commands)
    _add_readers(commands)
    _add_upkeep(commands)
    # Imported here: the modules print with the functions of this one.
    from drift import _cli_backup, _cli_explain
    from drift.bench import cli as bench
    from drift.simulate import cli as simulate

    _cli_backup.add_to(commands)
    _cli_explain.add_to(commands)
    bench.add_to(commands)
    simulate.add_to(commands)
    _add_completion(commands)
    return parser


def bare_command(
    commands: Any, run: Callable[[argparse.Namespace], int], name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    """Add a command that has no arguments yet but ``--json``."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run, parser=command)
    command.add_argument("--json", action="store_true", help="print JSON for machines")
    return command


def _command(
    commands: Any,
    run: Callable[[argparse.Namespace], int],
    name: str,
    summary: str,
    example: str,
    *,
    collection: str | None = None,
) -> argparse.ArgumentParser:
    command = bare_command(commands, run, name, summary, example)
    command.add_argument("database", metavar="DATABASE", help="folder of the database, or its URI")
    every = "; every collection when left out" if collection == "?" else ""
    command.add_argument("collection", metavar="COLLECTION", nargs=collection, help=f"name of the collection{every}")
    return command


def _add_writers(commands: Any) -> None:
    command = _command(
        commands, _create, "create", "create a collection", "drift create ./db packages --dim 384 --metric cosine"
    )
    command.add_argument("--dim", metavar="N", type=int, required=True, help="dimension of the vectors, 1 to 16384")
    command.add_argument("--metric", choices=["cosine", "l2", "dot"], default="cosine", help="distance (%(default)s)")
    command.add_argument("--id-type", choices=["int", "str"], default="int", help="type of the ids (%(default)s)")
    command.add_argument(
        "--precision",
        choices=["1bit", "sq8"],
        default="1bit",
        help="what a search reads first: 1-bit or 8-bit codes (%(default)s)",
    )
    command.add_argument(
        "--field",
        metavar="NAME=TYPE",
        action="append",
        help="fix a metadata field: bool, int, float, str, timestamp, list (of str) or json; once for each",
    )
    command.add_argument("--time", metavar="FIELD", help="metadata field that is each row's time")
    command.add_argument("--ttl", metavar="SECONDS", type=float, help="time after its --time at which a row expires")
    command.add_argument("--exist-ok", action="store_true", help="succeed when the same collection exists")

    command = _command(
        commands, _load, "load", "load Parquet files, all rows or none", "drift load ./db packages part-*.parquet"
    )
    command.add_argument("files", metavar="FILE", nargs="+", help="Parquet file")
    command.add_argument("--id", metavar="COLUMN", default="id", help="column of the ids (%(default)s)")
    command.add_argument("--vector", metavar="COLUMN", default="embedding", help="column of the vectors (%(default)s)")
    command.add_argument(
        "--metadata", metavar="COLUMNS", help='columns that become metadata: names with commas between them, or "all"'
    )
    _add_quiet(command)

    command = _command(
        commands, _drop, "drop", "delete a collection and all its rows", "drift drop ./db packages --yes"
    )
    command.add_argument("--yes", action="store_true", help="do it: without this, only say what would be deleted")


def _add_quiet(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quiet", action="store_true", help="show no progress")


def _wants_progress(arguments: argparse.Namespace) -> bool:
    """Whether to show a bar: to people at a terminal, on stderr."""
    return not arguments.quiet and not arguments.json and sys.stderr.isatty()


def _add_readers(commands: Any) -> None:
    command = _command(
        commands,
        _search,
        "search",
        "find the rows nearest to a stored row or to a vector",
        'drift search ./db packages --id 17 -k 5 --filter "month >= 202001" --include name,summary',
    )
    _cli_rows.add_query(command, "search")
    command.add_argument("--exact", action="store_true", help="compare with every row")
    _cli_rows.add_filter(command, "find only rows that match it")
    _cli_rows.add_include(command)
    _cli_rows.add_window(command)
    command.add_argument("--half-life", metavar="SECONDS", type=float, help="rank newer rows first, with --age-weight")
    command.add_argument("--age-weight", metavar="W", type=float, help="distance that the oldest rows are put back by")
    command.add_argument("--show", metavar="COLUMNS", help="columns of --from to print, with commas between them")
    command.add_argument("--from", dest="source", metavar="FILE", help="Parquet file that has the columns of --show")
    command.add_argument("--from-id", default="id", metavar="COLUMN", help="column of the ids in --from (%(default)s)")


def _add_upkeep(commands: Any) -> None:
    _command(commands, _stats, "stats", "print counts and sizes", "drift stats ./db", collection="?")
    command = _command(
        commands, _health, "health", "print measured recall and the state of buckets", "drift health ./db docs"
    )
    command.add_argument("--watch", metavar="SECONDS", type=float, help="print anew so often, until Ctrl-C")
    command = _command(
        commands, _verify, "verify", "read and check every stored byte", "drift verify ./db", collection="?"
    )
    command.add_argument("--repair", action="store_true", help="write anew what is damaged and follows from the rest")
    _add_quiet(command)
    command = _command(
        commands, _optimize, "optimize", "bring buckets and segments to their target sizes", "drift optimize ./db docs"
    )
    _add_quiet(command)


def _add_completion(commands: Any) -> None:
    command = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a script that lets bash, zsh or fish complete drift's arguments.",
        epilog="to use it:\n" + "\n".join(f"  {hint}" for hint in _completion.HINTS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_complete, parser=command)
    command.add_argument("shell", metavar="SHELL", choices=list(_completion.HINTS), help="bash, zsh or fish")


# The commands -----------------------------------------------------------------------------------------------------


def writer(database: str) -> drift.Database:
    """Open a database that exists: only ``create`` makes one, so that a mistyped name does not."""
    drift.connect(database, read_only=True).close()
    return drift.connect(database)


def _create(arguments: argparse.Namespace) -> int:
    fields = _fields(arguments.field)

    def create(db: drift.Database) -> drift.Collection:
        return db.create_collection(
            arguments.collection,
            arguments.dim,
            arguments.metric,
            arguments.id_type,
            precision=arguments.precision,
            fields=fields,
            time=arguments.time,
            ttl=arguments.ttl,
            exist_ok=arguments.exist_ok,
        )

    # First in memory, so that what is refused leaves no empty database behind.
    with drift.connect(f"memory://{os.urandom(8).hex()}") as trial:
        create(trial)
    with drift.connect(arguments.database) as db:
        c = create(db)
        facts = {"collection": c.name, "dim": c.dim, "metric": c.metric, "id_type": c.id_type, "rows": len(c)}
    return _print_facts(facts, arguments.json)


def _fields(given: list[str] | None) -> Any:
    if given is None:
        return None
    wrong = next((text for text in given if "=" not in text), None)
    if wrong is not None:
        raise UsageError(f"--field {wrong!r} has no type: write it as {wrong}=int")
    return dict(text.split("=", 1) for text in given)


def _load(arguments: argparse.Namespace) -> int:
    with writer(arguments.database) as db:
        report = db[arguments.collection].load(
            arguments.files,
            id=arguments.id,
            vector=arguments.vector,
            metadata=_cli_rows.include(arguments.metadata),
            progress=_wants_progress(arguments),
        )
    return _print_facts(report, arguments.json)


def _drop(arguments: argparse.Namespace) -> int:
    if not arguments.yes:
        with drift.connect(arguments.database, read_only=True) as db:
            c = db[arguments.collection]
            raise UsageError(f"this would delete {c!r}: add --yes to do it")
    with writer(arguments.database) as db:
        db.drop_collection(arguments.collection)
    return _print_facts({"dropped": arguments.collection}, arguments.json)


def _search(arguments: argparse.Namespace) -> int:
    if (arguments.show is None) != (arguments.source is None):
        raise UsageError("--show and --from belong together: which columns, and from which file")
    with drift.connect(arguments.database, read_only=True) as db:
        c = db[arguments.collection]
        if arguments.id is not None:
            query = c.get(_ids(c, [arguments.id])).vectors[0]
        else:
            query = _read_vector(arguments.vector)
        result = c.search(
            query,
            arguments.k,
            recall=arguments.recall,
            exact=arguments.exact,
            filter=arguments.filter,
            include=_cli_rows.include(arguments.include),
            **_cli_rows.window(arguments),
            decay=_time.decay_of(arguments.half_life, arguments.age_weight),
        )
        _cli_rows.note_doubts(c, arguments.filter, int((result.distances < np.inf).sum()))
    found = result.to_list()
    if found and isinstance(found[0], list):
        found = [{"query": row, **hit} for row, hits in enumerate(found) for hit in hits]
    if arguments.show is not None:
        _add_columns(found, arguments.source, arguments.from_id, arguments.show.split(","))
    if arguments.json:
        return _print_json(found)
    _cli_rows.print_rows(
        [{**hit, "distance": f"{hit['distance']:.6f}"} for hit in _cli_rows.spread(found)], ["id", "distance"]
    )
    return 0


def _stats(arguments: argparse.Namespace) -> int:
    with drift.connect(arguments.database, read_only=True) as db:
        if arguments.collection is not None:
            figures = db[arguments.collection].stats()
            if not arguments.json:
                # A process that has just opened it has neither searched nor run jobs.
                figures = {name: value for name, value in figures.items() if name not in ("search_ms", "jobs")}
            return _print_facts(figures, arguments.json)
        facts = [
            {"collection": c.name, "rows": len(c), "dim": c.dim, "metric": c.metric, "id_type": c.id_type}
            for c in map(db.open_collection, db.list_collections())
        ]
    if arguments.json:
        return _print_json(facts)
    _print_table(["collection", "rows", "dim", "metric", "id_type"], [list(row.values()) for row in facts])
    return 0


def _health(arguments: argparse.Namespace) -> int:
    while True:
        with drift.connect(arguments.database, read_only=True) as db:
            figures = db[arguments.collection].health().to_dict()
        if arguments.watch and not arguments.json:
            sys.stdout.write("\x1b[2J\x1b[H")
        _print_health(figures, arguments.json)
        sys.stdout.flush()
        if not arguments.watch:
            return 0
        time.sleep(arguments.watch)


def _print_health(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(figures)
        return
    spreads = {name: figures.pop(name) for name in ("bucket_rows", "bucket_dead_share", "bucket_drift")}
    jobs, backlog = figures.pop("jobs"), figures.pop("backlog")
    recalls = [list(of.values()) for of in figures["recalls"]]
    headings = list(figures.pop("recalls")[0]) if recalls else []
    figures.pop("timeline")
    due = ", ".join(f"{count} {kind}" for kind, count in backlog.items() if count)
    _print_facts({**figures, "due": due or "nothing"}, False)
    if recalls:
        _print_table(headings, [[round(of, 4) if isinstance(of, float) else of for of in row] for row in recalls])
    quantiles = ["p5", "p50", "p95", "max"]
    _print_table(
        ["", *quantiles],
        [
            [name, *(None if spread[at] is None else round(spread[at], 3) for at in quantiles)]
            for name, spread in spreads.items()
        ],
    )
    for job in jobs[-8:]:
        sys.stdout.write(f"  {job['job']}: {job['reason']} -> {job['effect']}\n")


def _verify(arguments: argparse.Namespace) -> int:
    opened = writer(arguments.database) if arguments.repair else drift.connect(arguments.database, read_only=True)
    with opened as db:
        names = db.list_collections() if arguments.collection is None else [arguments.collection]
        progress = _wants_progress(arguments)
        reports = [
            {"collection": name, **db[name].verify(repair=arguments.repair, progress=progress)} for name in names
        ]
    problems = [problem for report in reports for problem in report["problems"]]
    if arguments.json:
        _print_json(reports)
    else:
        columns = ["collection", "files", "bytes", "rows"]
        rows = [[report[column] for column in columns] + [len(report["problems"])] for report in reports]
        _print_table([*columns, "problems"], rows)
        for repaired in (problem for report in reports for problem in report["repaired"]):
            sys.stdout.write(f"  repaired: {repaired}\n")
        for problem in problems:
            sys.stdout.write(f"  {'cannot be repaired: ' if arguments.repair else ''}{problem}\n")
    return 1 if problems else 0


def _optimize(arguments: argparse.Namespace) -> int:
    with writer(arguments.database) as db:
        return _print_facts(db[arguments.collection].optimize(progress=_wants_progress(arguments)), arguments.json)


def _complete(arguments: argparse.Namespace) -> int:
    sys.stdout.write(_completion.script(arguments.shell, _parser()))
    return 0


# Input ------------------------------------------------------------------------------------------------------------


def _ids(collection: drift.Collection, texts: list[str]) -> list[int] | list[str]:
    if collection.id_type == "str":
        return texts
    try:
        return [int(text) for text in texts]
    except ValueError:
        bad = next(text for text in texts if not text.lstrip("-").isdigit())
        raise UsageError(f"id {bad!r} is no integer, but the collection's id_type is 'int'") from None


def _read_vector(text: str) -> Any:
    """Return the vector or vectors in a file or in the argument itself."""
    if text.endswith(".npy"):
        try:
            return np.load(text, allow_pickle=False)
        except OSError as error:
            raise UsageError(f"--vector {text} is no file that can be read: {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"{text} is no .npy file of numbers: {error}") from None
    if text == "-":
        content = sys.stdin.read()
    elif text.lstrip().startswith("["):
        content = text
    else:
        content = _read_file(text)
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise UsageError(f"--vector is no JSON: {error}") from None


def _read_file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        hint = f"; a vector is written [{name}]" if name[:1].isdigit() or name[:1] == "-" else ""
        hint = "; a text must be embedded first, drift compares vectors" if " " in name.strip() else hint
        raise UsageError(f"--vector {name} is no file that can be read: {error.strerror}{hint}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--vector {name} is no JSON: give a .npy file of NumPy, or JSON") from None


def _add_columns(found: list[dict[str, Any]], path: str, id_column: str, names: list[str]) -> None:
    """Add columns of a Parquet file to results, by their ids."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("--show reads Parquet with pyarrow: pip install 'drift-vector[arrow]'") from None
    wanted = {hit["id"] for hit in found}
    file = pq.ParquetFile(path)
    absent = [name for name in [id_column, *names] if name not in file.schema_arrow.names]
    if absent:
        raise UsageError(f"{path}: no column {absent[0]!r}; it has {file.schema_arrow.names}")
    values: dict[Any, dict[str, Any]] = {}
    for batch in file.iter_batches(columns=list(dict.fromkeys([id_column, *names]))):
        ids = batch.column(id_column).to_pylist()
        rows = [row for row, row_id in enumerate(ids) if row_id in wanted]
        for row in rows:
            values[ids[row]] = {name: batch.column(name)[row].as_py() for name in names}
    for hit in found:
        hit.update(values.get(hit["id"], dict.fromkeys(names)))


# Output -----------------------------------------------------------------------------------------------------------


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")


def _print_json(value: object) -> int:
    sys.stdout.write(as_json(value) + "\n")
    return 0


def as_json(value: object, indent: int | None = None) -> str:
    """Return JSON of any value: null for what JSON has no number for (NaN, infinity), text for objects."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_plain, allow_nan=False, indent=indent)


def _plain(value: object) -> object:
    return _finite(value.tolist()) if isinstance(value, (np.generic, np.ndarray)) else str(value)


def _finite(value: object) -> object:
    """Return a value with None in place of the floats that are no finite numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def _print_facts(facts: dict[str, Any], as_json: bool) -> int:
    if as_json:
        return _print_json(facts)
    width = max(map(len, facts))
    for name, value in facts.items():
        sys.stdout.write(f"{name.ljust(width)}  {_cell(value)}\n")
    return 0


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return " ".join(str(value).split())


def _print_table(names: list[str], rows: list[list[Any]]) -> None:
    """Print aligned columns, numbers to the right; on a terminal, the last column ends at its edge."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(names)]
    number = (int, float, NoneType)
    right = [bool(rows) and all(isinstance(row[at], number) for row in rows) for at in range(len(names))]
    # A terminal that nobody has told its size has 0 columns.
    limit = (os.get_terminal_size().columns or None) if sys.stdout.isatty() else None

    def line(row: list[str]) -> str:
        aligned = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        return "  ".join(aligned).rstrip()[:limit]

    for row in [names, ["-" * width for width in widths], *cells]:
        sys.stdout.write(line(row) + "\n")


if __name__ == "__main__":
    sys.exit(main())
