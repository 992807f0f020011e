"""Makes a workload by the name of its family."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from drift._errors import InvalidArgumentError
from drift.simulate.families import family
from drift.simulate.source import positive

if TYPE_CHECKING:
    from drift.simulate.source import Source
    from drift.simulate.workload import Workload

__all__ = ["DIM", "ROWS", "generate"]

ROWS = 20_000
DIM = 64


def generate(
    name: str, *, rows: int = ROWS, dim: int = DIM, source: Source | None = None, **parameters: Any
) -> Workload:
    """Return a workload; the same arguments give the same workload.

    Parameters
    ----------
    name : str
        Its family; see `FAMILIES`.
    rows, dim : int
        Shape of the vectors to make when there is no source.
    source : Source, optional
        Vectors to use instead, as `read` returns them.
    **parameters
        Parameters of the family: steps, queries, seed and its own.

    Raises
    ------
    InvalidArgumentError
        When there is no such family or parameter, or a value is out of its bounds.

    Examples
    --------
    >>> from drift.simulate import generate
    >>> workload = generate("expiration", rows=1_000, dim=8, steps=10, queries=20)
    >>> workload.searches, workload.vectors.shape
    (10, (1000, 8))
    """
    kind = family(name)
    known = [field.name for field in fields(kind)]
    for parameter in parameters:
        if parameter not in known:
            raise InvalidArgumentError(f"workload {name} has no parameter {parameter!r}; it has {', '.join(known)}")
    made = kind(**parameters)
    if source is None:
        positive(rows=rows, dim=dim)
    return made.make(made.synthetic(rows, dim) if source is None else source)
