"""The one setting of a run, which holds from its first step to its last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    from drift._types import Durability

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a workload is run.

    Attributes
    ----------
    recall : float
        Recall to aim at, in (0, 1]. drift is told at each search; a peer's effort is chosen at the first search step,
        the least that reaches it, and held.
    durability : {"always", "interval", "os", "none"}
        When a write of drift returns. Peers write nothing to disk.
    batch : int
        Rows of one write call, 1 or more; the first insertion is one bulk load.
    passes : int
        Passes over the queries of a search step, 1 or more; recall and work are of the first, times of all.
    threads : int
        Threads of a peer's bulk load and insertions, 1 or more. Searches have one thread.
    settle : bool
        Before each search step, flush and let maintenance finish, so that figures do not depend on how fast it is.
    searchers : int
        Threads that search while writes and maintenance run, 0 or more: figures `busy`.
    optimize_at_end : bool
        After the last step, load the living rows into a new index and compare the work of a query.

    Raises
    ------
    InvalidArgumentError
        When a value is out of its bounds.
    """

    recall: float = 0.95
    durability: Durability = "always"
    batch: int = 1_000
    passes: int = 3
    threads: int = 2
    settle: bool = True
    searchers: int = 0
    optimize_at_end: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise InvalidArgumentError(f"recall is {self.recall}: it must be in (0, 1]")
        if self.durability not in ("always", "interval", "os", "none"):
            raise InvalidArgumentError(f"durability is {self.durability!r}: it must be always, interval, os or none")
        for name, least in (("batch", 1), ("passes", 1), ("threads", 1), ("searchers", 0)):
            value = getattr(self, name)
            if value < least:
                raise InvalidArgumentError(f"{name} is {value}: it must be {least} or more")
