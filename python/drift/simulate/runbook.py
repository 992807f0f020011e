"""Runbooks of big-ann-benchmarks, read and written.

A runbook is YAML: the name of a dataset, below it ``max_pts`` (most rows alive at once) and operations numbered from 1.
``insert`` and ``delete`` have ``start`` and ``end`` (exclusive); ``replace`` gives the ids from ``tags_start`` to
``tags_end`` the vectors of rows ``ids_start`` to ``ids_end``; ``search`` uses all queries. Ids that do not follow each
other become several operations. A search with some of the queries has ``queries_start`` and ``queries_end``, which
readers of the original format pass over. The older form, in which an operation is a list of one-entry mappings, is
read too.

Source: https://github.com/harsha-simhadri/big-ann-benchmarks, neurips23/streaming.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drift._errors import InvalidArgumentError, NotFoundError
from drift.simulate.steps import I64, Delete, Insert, Replace, Search, Step, merged

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from drift.simulate.workload import Workload

__all__ = ["names", "read", "text", "write"]


def write(workload: Workload, path: str | os.PathLike[str]) -> None:
    """Write the steps of a workload as a runbook."""
    Path(path).write_text(text(workload), encoding="utf-8")


def text(workload: Workload) -> str:
    """Return the steps of a workload as a runbook."""
    lines = [f"{workload.name}:", f"  max_pts: {workload.rows_max}"]
    number = 0
    for step in workload.steps:
        for fields in _operations(step, len(workload.queries)):
            number += 1
            lines.append(f"  {number}:")
            lines.extend(f"    {name}: {value}" for name, value in fields.items())
    return "\n".join(lines) + "\n"


def _operations(step: Step, queries: int) -> Iterator[dict[str, int | str]]:
    if isinstance(step, Search):
        part = {} if (step.start, step.end) == (0, queries) else {"queries_start": step.start, "queries_end": step.end}
        yield {"operation": "search", **part}
    elif isinstance(step, Replace):
        for first, last in _runs(step.ids, step.rows):
            yield {
                "operation": "replace",
                "tags_start": int(step.ids[first]),
                "tags_end": int(step.ids[last]) + 1,
                "ids_start": int(step.rows[first]),
                "ids_end": int(step.rows[last]) + 1,
            }
    else:
        name = "insert" if isinstance(step, Insert) else "delete"
        for first, last in _runs(step.ids):
            yield {"operation": name, "start": int(step.ids[first]), "end": int(step.ids[last]) + 1}


def _runs(*columns: I64) -> Iterator[tuple[int, int]]:
    """First and last position of each longest part in which every column counts up by one."""
    breaks = np.zeros(len(columns[0]) - 1, dtype=bool)
    for column in columns:
        breaks |= np.diff(column) != 1
    edges = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(columns[0])]])
    yield from zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), strict=True)


def read(path: str | os.PathLike[str], queries: int, dataset: str | None = None) -> tuple[Step, ...]:
    """Read the steps of a runbook. Needs PyYAML (extra ``simulate``).

    Parameters
    ----------
    path : str or path
        The file.
    queries : int
        Number of queries, all of which a search uses that names none.
    dataset : str, optional
        Which dataset's operations to read; needed when the runbook has several.

    Returns
    -------
    tuple of Step
        The steps, neighbouring writes of one kind made one.

    Raises
    ------
    NotFoundError
        When there is no such file, or it has no such dataset.
    InvalidArgumentError
        When the file is no runbook; the message names the operation.
    """
    operations = _operations_of(path, _datasets(path), dataset)
    steps: list[Step] = []
    number = 1
    while number in operations:
        where = f"{path}: operation {number}"
        fields = operations[number]
        if isinstance(fields, list) and all(isinstance(part, dict) for part in fields):
            fields = {name: value for part in fields for name, value in part.items()}
        if not isinstance(fields, dict):
            raise InvalidArgumentError(f"{where} is no mapping")
        steps.append(_step(fields, queries, where))
        number += 1
    if not steps:
        raise InvalidArgumentError(f"{path} has no operation 1")
    return merged(steps)


def names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the datasets of a runbook. Needs PyYAML (extra ``simulate``).

    Raises
    ------
    NotFoundError
        When there is no such file.
    InvalidArgumentError
        When the file is no runbook.
    """
    return [str(name) for name in _datasets(path)]


def _parsed(path: str | os.PathLike[str]) -> Any:
    try:
        import yaml
    except ImportError:
        raise InvalidArgumentError("runbooks are read with PyYAML: pip install 'drift-vector[simulate]'") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), loader)  # noqa: S506 - both are safe loaders.
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path} is no YAML: {error}") from None


def _datasets(path: str | os.PathLike[str]) -> dict[Any, Any]:
    parsed = _parsed(path)
    if not isinstance(parsed, dict) or not parsed:
        raise InvalidArgumentError(f"{path} is no runbook: it must be a mapping of a dataset to its operations")
    return parsed


def _operations_of(path: str | os.PathLike[str], datasets: dict[Any, Any], dataset: str | None) -> dict[Any, Any]:
    if dataset is None and len(datasets) > 1:
        raise InvalidArgumentError(f"{path} has several datasets ({', '.join(map(str, datasets))}): name one")
    key = next(iter(datasets)) if dataset is None else dataset
    if key not in datasets:
        raise NotFoundError(f"{path} has no dataset {key!r}; it has {', '.join(map(str, datasets))}")
    operations = datasets[key]
    if not isinstance(operations, dict):
        raise InvalidArgumentError(f"{path}: the operations of {key!r} are no mapping")
    return operations


def _step(fields: dict[str, Any], queries: int, where: str) -> Step:
    kind = fields.get("operation")
    if kind == "search":
        return Search(_natural(fields, "queries_start", where, 0), _natural(fields, "queries_end", where, queries))
    if kind == "insert":
        return Insert(_range(fields, "", where))
    if kind == "delete":
        return Delete(_range(fields, "", where))
    if kind == "replace":
        ids, rows = _range(fields, "tags_", where), _range(fields, "ids_", where)
        if len(ids) != len(rows):
            raise InvalidArgumentError(f"{where} gives {len(ids)} tags the vectors of {len(rows)} ids")
        return Replace(ids, rows)
    raise InvalidArgumentError(f"{where} is {kind!r}: it must be insert, delete, replace or search")


def _range(fields: dict[str, Any], prefix: str, where: str) -> I64:
    start, end = _natural(fields, f"{prefix}start", where), _natural(fields, f"{prefix}end", where)
    if end < start:
        raise InvalidArgumentError(f"{where}: {prefix}end is {end}, before {prefix}start {start}")
    return np.arange(start, end, dtype=np.int64)


def _natural(fields: dict[str, Any], name: str, where: str, otherwise: int | None = None) -> int:
    value = fields.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgumentError(f"{where}: {name} is {value!r}: it must be an int, 0 or more")
    return value
