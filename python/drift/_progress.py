"""Progress of long calls: tqdm or rich when installed, else a line on stderr, or the caller's function."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from drift._types import Progress


class Display(Protocol):
    """Shows how far a call is."""

    def update(self, rows: int, total: int | None, stage: str) -> None:
        """Show that `stage` has finished `rows` of `total` rows, bytes or steps."""
        ...

    def close(self) -> None:
        """Leave the screen tidy."""
        ...


def display(progress: Progress, unit: str = "rows") -> Display | None:
    """Return what shows the progress, counted in `unit`, or None for no progress.

    Raises
    ------
    InvalidArgumentError
        When `progress` is neither a bool nor a function.
    """
    if progress is None or progress is False:
        return None
    if progress is not True:
        if not callable(progress):
            raise InvalidArgumentError(
                f"progress is {progress!r}: it must be True, False or a function of the {unit} so far and their total"
            )
        return _Function(progress)
    try:
        import tqdm  # noqa: F401

        return _Tqdm(unit)
    except ImportError:
        pass
    try:
        import rich  # noqa: F401

        return _Rich()
    except ImportError:
        return _Plain(unit)


@contextmanager
def closing(shown: Display | None) -> Iterator[Callable[[int, int | None, str], object] | None]:
    """Give the function that the extension reports to, if any, and leave the screen tidy after it."""
    try:
        yield None if shown is None else shown.update
    finally:
        if shown is not None:
            shown.close()


class StoppedError(Exception):
    """Ends a call that nobody waits for any more."""


class Stoppable:
    """A display that passes reports on until `stop` is set, and then ends the call by raising."""

    def __init__(self, shown: Display | None, stop: threading.Event) -> None:
        self._shown = shown
        self._stop = stop

    def update(self, rows: int, total: int | None, stage: str) -> None:
        """Pass the report on, or end the call."""
        if self._stop.is_set():
            raise StoppedError
        if self._shown is not None:
            self._shown.update(rows, total, stage)
        # It may have been set meanwhile, and this report may have been the last.
        if self._stop.is_set():
            raise StoppedError

    def close(self) -> None:
        """Leave the screen tidy."""
        if self._shown is not None:
            self._shown.close()


class _Function:
    """The caller's function of rows and total."""

    def __init__(self, function: Callable[[int, int | None], object]) -> None:
        self._function = function

    def update(self, rows: int, total: int | None, stage: str) -> None:  # noqa: ARG002
        self._function(rows, total)

    def close(self) -> None:
        pass


class _Tqdm:
    """One tqdm bar per stage."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: Any = None
        self._stage = ""

    def update(self, rows: int, total: int | None, stage: str) -> None:
        import tqdm

        if stage != self._stage:
            # A stage that another one follows has done all of it, even if it told nothing on its way.
            if self._bar is not None and self._bar.total is not None:
                self._bar.update(self._bar.total - self._bar.n)
            self.close()
            # Rows and bytes are many; steps are few, and 3 of them are not 3.00.
            many = self._unit != "steps"
            self._bar = tqdm.tqdm(total=total, desc=stage, unit=f" {self._unit}", unit_scale=many)
            self._stage = stage
        self._bar.total = total
        self._bar.update(rows - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Rich:
    """One line of a rich progress display per stage."""

    def __init__(self) -> None:
        from rich.progress import Progress as RichProgress

        self._progress: Any = RichProgress()
        self._progress.start()
        self._task: Any = None
        self._total: int | None = None
        self._stage = ""

    def update(self, rows: int, total: int | None, stage: str) -> None:
        if stage != self._stage:
            if self._task is not None:
                self._progress.update(self._task, completed=self._total)
            self._task = self._progress.add_task(stage, total=total)
            self._stage = stage
        self._total = total
        self._progress.update(self._task, completed=rows, total=total)

    def close(self) -> None:
        self._progress.stop()


class _Plain:
    """One line on stderr that is written over."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._stage = ""

    def update(self, rows: int, total: int | None, stage: str) -> None:
        share = f" of {total:,} ({rows / total:.0%})" if total else ""
        sys.stderr.write(f"\r\x1b[K{stage}: {rows:,}{share} {self._unit}")
        sys.stderr.flush()
        self._stage = stage

    def close(self) -> None:
        if self._stage:
            sys.stderr.write("\n")
