"""What every engine under measurement offers: build from the scratch files, take a setting, ask one query or all.

A *setting* is what trades recall for speed, by the names of the engine's own API. An engine with one such parameter
has one sweep; one with two (lists to read and rows to compare exactly) has one sweep for each value of the second, and
the report takes the best of all points. No build parameter is chosen by looking at the queries. Libraries are imported
in methods, so that the package can be read without them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benches.data import F32, I64

Setting = dict[str, float]
Sweep = tuple[Setting, ...]

# Steps of about a quarter: recall moves by one or two hundredths a step, so that interpolation between two points errs
# by less than the noise of a run.
# fmt: off
GRAPH_STEPS = (
    10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96,
    112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
)
LIST_STEPS = (4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512)
# fmt: on


def along(name: str, values: Sequence[float], **fixed: float) -> Sweep:
    """One sweep over the values of a parameter, with others fixed."""
    return tuple({name: value, **fixed} for value in values)


class Engine(ABC):
    """An index under measurement."""

    name: ClassVar[str]
    module: ClassVar[str]
    """What is imported."""
    distribution: ClassVar[str]
    """What is installed, by its name on PyPI."""
    sweeps: ClassVar[Sequence[Sweep]]
    """Settings to measure at, each sweep from fast to accurate."""
    environment: ClassVar[dict[str, str]] = {}
    """Variables that the process of this engine starts with."""

    @classmethod
    def unavailable(cls) -> str | None:
        """Why the engine cannot be measured here; none if it can."""
        try:
            importlib.import_module(cls.module)
        except ImportError as error:
            return f"not installed ({error})"
        return None

    @classmethod
    def version(cls) -> str:
        """Return the installed version."""
        return importlib.metadata.version(cls.distribution)

    def convert(self, folder: Path) -> None:  # noqa: B027 - most libraries read what there is.
        """Write the rows of ``folder`` in the form that the library reads; not timed."""

    @abstractmethod
    def build(self, folder: Path, threads: int) -> None:
        """Build the index of the rows in ``folder``, ready to be searched, and drop the raw rows."""

    @abstractmethod
    def set(self, setting: Setting) -> None:
        """Set the parameters that trade recall for speed."""

    def set_threads(self, threads: int) -> None:
        """Set the number of threads of the searches to come."""
        self.threads = threads

    @abstractmethod
    def one(self, query: F32) -> Any:
        """Search for one query; what the engine's API returns, unconverted. One thread has been set."""

    @abstractmethod
    def batch(self, queries: F32) -> I64:
        """Search for all queries; ids of shape (n, K)."""

    def counters(self) -> dict[str, int]:
        """Return what the engine itself counts as it searches; empty if it counts nothing."""
        return {}

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of.
        """Let go of files and threads; called where the folder of the index is about to go."""

    def describe(self) -> str:
        """Return the parameters that were built with."""
        return ""
