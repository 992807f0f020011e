"""What a collection does in the background, and how much of the machine it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, cast

from drift._checks import is_number, natural
from drift._errors import DriftError, InvalidArgumentError
from drift._show import html_table

if TYPE_CHECKING:
    from drift import _core


class JobRecord(TypedDict):
    """One finished job."""

    job: str
    """``restructure`` (buckets were split, merged, recentred or cleared), ``retrain`` (all were defined anew),
    ``compact`` (segments were merged) or ``expire`` (expired rows were deleted)."""
    reason: str
    effect: str
    ended: float
    """Seconds since 1970 UTC."""
    seconds: float
    bytes: int
    """Bytes written."""


@dataclass(frozen=True)
class Budget:
    """What background jobs may take; flushes and the measuring of recall always run.

    Attributes
    ----------
    share
        Share of one core, in (0, 1]: after a job of t seconds comes a pause of t (1 / share - 1).
    rows_per_second, bytes_per_second
        Rows moved or rewritten, and bytes written, per second; None for no limit.
    quiet_hours
        Two hours of the day in UTC, 0 to 23: no job begins from the first on until the second. None for no such time.
    """

    share: float = 0.5
    rows_per_second: int | None = None
    bytes_per_second: int | None = None
    quiet_hours: tuple[int, int] | None = None

    def _rows(self) -> list[tuple[str, object]]:
        return list(vars(self).items())

    def _repr_html_(self) -> str:
        return html_table(repr(self), ["", ""], self._rows())


class Maintenance:
    """Background maintenance of one collection: ``collection.maintenance``.

    Buckets split, merge and follow their rows, segments are merged and cleared of dead rows, by themselves and within
    :attr:`budget`. Nothing here has to be called.
    """

    def __init__(self, inner: _core.Collection) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        """Return the budget and whether jobs are paused."""
        return f"<drift.Maintenance {self._summary()}>"

    def _summary(self) -> str:
        try:
            return f"{'paused' if self.paused else 'running'}, {self.budget}"
        except DriftError as error:
            return "closed" if type(error).__name__ == "ClosedError" else type(error).__name__

    def _repr_html_(self) -> str:
        try:
            rows = self.budget._rows()
        except DriftError as error:
            rows = [("error", str(error))]
        return html_table(repr(self), ["", ""], rows)

    def run_once(self) -> list[JobRecord]:
        """Do everything that is due, now and on all cores, whatever the budget; return what was done."""
        return cast("list[JobRecord]", self._inner.run_maintenance())

    def pause(self) -> None:
        """Let no further job begin; searches, writes and flushes go on. A job that is running ends first."""
        self._inner.pause_maintenance()

    def resume(self) -> None:
        """Let jobs begin again."""
        self._inner.resume_maintenance()

    @property
    def paused(self) -> bool:
        """Whether jobs are paused."""
        return self._inner.is_maintenance_paused()

    @property
    def budget(self) -> Budget:
        """What jobs may take; assign another :class:`Budget` to change it until the collection is closed.

        Raises
        ------
        InvalidArgumentError
            When a value assigned is of another type or out of its bounds; the message names it.
        """
        return Budget(*self._inner.budget())

    @budget.setter
    def budget(self, budget: Budget) -> None:
        if not isinstance(budget, Budget):
            raise InvalidArgumentError(f"budget is {budget!r}: assign a drift.Budget, such as drift.Budget(share=0.1)")
        share, hours = budget.share, budget.quiet_hours
        if not is_number(share):
            raise InvalidArgumentError(f"share is {share!r}: it must be a number above 0 and at most 1")
        limits = (("rows_per_second", budget.rows_per_second), ("bytes_per_second", budget.bytes_per_second))
        rows, written = (None if value is None else natural(name, value, 1) for name, value in limits)
        if hours is not None:
            if not isinstance(hours, (tuple, list)) or len(hours) != 2:
                raise InvalidArgumentError(
                    f"quiet_hours is {hours!r}: it must be two hours (UTC), such as (22, 6), or None"
                )
            hours = (natural("quiet_hours", hours[0]), natural("quiet_hours", hours[1]))
            if max(hours) > 23:
                raise InvalidArgumentError(f"quiet_hours is {hours!r}: give two different hours from 0 to 23 (UTC)")
        self._inner.set_budget(float(share), rows, written, hours)
