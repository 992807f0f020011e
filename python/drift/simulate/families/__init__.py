"""The families of workloads by their names on the command line; a new one is a class in a file and a line here."""

from __future__ import annotations

from drift._errors import InvalidArgumentError
from drift.simulate.families.base import Family
from drift.simulate.families.churn import Churn
from drift.simulate.families.clustered import Clustered
from drift.simulate.families.deletion import RandomDeletion, RegionalDeletion
from drift.simulate.families.expiration import Expiration
from drift.simulate.families.needles import Needles
from drift.simulate.families.replace import Replacement
from drift.simulate.families.skewed import SkewedWalk
from drift.simulate.families.window import Moving, Replay, SlidingWindow

__all__ = ["FAMILIES", "Family", "family"]

FAMILIES: dict[str, type[Family]] = {
    kind.name: kind
    for kind in (
        Moving,
        Churn,
        RandomDeletion,
        RegionalDeletion,
        Needles,
        SlidingWindow,
        Clustered,
        Expiration,
        SkewedWalk,
        Replacement,
        Replay,
    )
}


def family(name: str) -> type[Family]:
    """Return the family of this name.

    Raises
    ------
    InvalidArgumentError
        When there is none.
    """
    if name not in FAMILIES:
        raise InvalidArgumentError(f"no workload {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]
