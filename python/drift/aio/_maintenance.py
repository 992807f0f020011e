"""Background maintenance of a collection, awaitable where it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import drift
    from drift._maintenance import Budget, JobRecord
    from drift.aio._calls import Calls


class Maintenance:
    """What `drift.Maintenance` is, for asyncio: only `run_once` takes time."""

    def __init__(self, sync: drift.Maintenance, calls: Calls) -> None:
        self._sync = sync
        self._calls = calls

    def __repr__(self) -> str:
        """Return the budget and whether jobs are paused."""
        return f"<drift.aio.Maintenance {self._sync._summary()}>"

    def _repr_html_(self) -> str:
        return self._sync._repr_html_().replace("drift.Maintenance", "drift.aio.Maintenance", 1)

    async def run_once(self) -> list[JobRecord]:
        """Do everything that is due, as `drift.Maintenance.run_once`."""
        return await self._calls.run(self._sync.run_once)

    def pause(self) -> None:
        """Let no further job begin, as `drift.Maintenance.pause`."""
        self._sync.pause()

    def resume(self) -> None:
        """Let jobs begin again."""
        self._sync.resume()

    @property
    def paused(self) -> bool:
        """Whether jobs are paused."""
        return self._sync.paused

    @property
    def budget(self) -> Budget:
        """What jobs may take; assign another `drift.Budget` to change it until the collection is closed."""
        return self._sync.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._sync.budget = budget
