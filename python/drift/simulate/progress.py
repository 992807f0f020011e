"""How far a simulation is: a bar over its steps, or lines of text for whoever keeps them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from drift._errors import InvalidArgumentError
from drift._progress import display

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drift._progress import Display

__all__ = ["Telling", "Told", "telling"]

Told: TypeAlias = "bool | Callable[[str], object] | None"


class Telling:
    """Tells how far a call is."""

    def __init__(self, shown: Display | None, say: Callable[[str], object] | None) -> None:
        self._shown = shown
        self._say = say

    def bar(self, stage: str, done: int, total: int) -> None:
        """Move the bar of a stage, if there is one."""
        if self._shown is not None:
            self._shown.update(done, total, stage)

    def line(self, text: str) -> None:
        """Say a line, if somebody listens."""
        if self._say is not None:
            self._say(text)


@contextmanager
def telling(progress: Told) -> Iterator[Telling]:
    """Give what tells of progress, and leave the screen tidy after it.

    Parameters
    ----------
    progress : bool or callable, optional
        True shows a bar (tqdm or rich when installed); a callable gets lines of text.

    Raises
    ------
    InvalidArgumentError
        When it is neither.
    """
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise InvalidArgumentError(f"progress is {progress!r}: it must be True, False or a function of a line of text")
    shown = display(True, "steps") if progress is True else None
    try:
        yield Telling(shown, None if isinstance(progress, bool) else progress)
    finally:
        if shown is not None:
            shown.close()
