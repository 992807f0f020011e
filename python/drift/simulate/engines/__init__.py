"""The engines, by the names they have on the command line; a new one is a class in a file and a line here."""

from __future__ import annotations

from drift._errors import InvalidArgumentError
from drift.simulate.engines.base import Engine
from drift.simulate.engines.drift import Drift
from drift.simulate.engines.faiss import FaissFlat, FaissPq
from drift.simulate.engines.hnswlib import Hnswlib
from drift.simulate.engines.svs import SvsDynamic
from drift.simulate.engines.usearch import Usearch

__all__ = ["ENGINES", "Engine", "engine"]

ENGINES: dict[str, type[Engine]] = {
    kind.key: kind for kind in (Drift, Hnswlib, Usearch, FaissFlat, FaissPq, SvsDynamic)
}


def engine(key: str) -> type[Engine]:
    """Return the engine of this name.

    Raises
    ------
    InvalidArgumentError
        When there is none.
    """
    if key not in ENGINES:
        raise InvalidArgumentError(f"no engine {key!r}; there are {', '.join(ENGINES)}")
    return ENGINES[key]
