"""Calls in the threads of a database: the one place where `drift.aio` meets threads, cancellation and forks."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from drift._checks import natural
from drift._errors import ClosedError, ForkError, InvalidArgumentError
from drift._progress import Stoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from types import TracebackType
    from typing import ParamSpec

    from drift._progress import Display

    P = ParamSpec("P")

T = TypeVar("T")

# A call that waits for the disk needs no core; above 32 threads the GIL between the calls is what they wait for.
THREADS_SPARE = 4
THREADS_DEFAULT_MAX = 32
THREADS_MAX = 256


def thread_count(threads: int | None) -> int:
    """Return how many threads a database gets.

    Raises
    ------
    InvalidArgumentError
        When `threads` is no int from 1 to 256.
    """
    if threads is None:
        return min(THREADS_DEFAULT_MAX, (os.cpu_count() or 1) + THREADS_SPARE)
    count = natural("threads", threads, 1)
    if count > THREADS_MAX:
        raise InvalidArgumentError(f"threads is {count}: it must be at most {THREADS_MAX}")
    return count


class Calls:
    """The threads of one database.

    They start with the calls that need them, at most `threads` of them, and end after `close`.
    """

    def __init__(self, what: str, threads: int) -> None:
        self.threads = threads
        self._what = what
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="drift-aio")
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._last: Future[Any] | None = None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._last is not None

    def _check_process(self) -> None:
        # In a forked child the threads are missing, and the lock may be held for ever by one of them.
        if os.getpid() != self._pid:
            raise ForkError(f"{self._what} was opened before this process was forked: open it anew in the child")

    def _submit(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> Future[T]:
        if self._last is not None:
            raise ClosedError(f"{self._what} is closed: connect again")
        return self._pool.submit(partial(contextvars.copy_context().run, call, *args, **options))

    async def run(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Return what `call` returns in a thread.

        Raises
        ------
        ClosedError
            After `close`.
        ForkError
            In a process that was forked off.
        """
        self._check_process()
        with self._lock:
            future = self._submit(call, *args, **options)
        return await asyncio.wrap_future(future)

    async def watched(self, call: Callable[[Display | None], T], shown: Display | None) -> T:
        """Return what `call` returns in a thread; when cancelled, end it at its next report of progress."""
        cancelled = threading.Event()
        try:
            return await self.run(call, Stoppable(shown, cancelled))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def open(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Return the database that `call` opens; when cancelled, close it as soon as it is open."""
        future = self._submit(call, *args, **options)
        try:
            return await asyncio.wrap_future(future)
        except BaseException:
            future.add_done_callback(_close_opened)
            self._pool.shutdown(wait=False)
            raise

    async def close(self, call: Callable[[], None]) -> None:
        """Make `call` the last one, after all that were made before, even when cancelled; then end the threads."""
        self._check_process()
        with self._lock:
            if self._last is None:
                self._last = self._submit(call)
                self._pool.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._last))


def _close_opened(future: Future[Any]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()


class _Closable(Protocol):
    async def close(self) -> None: ...


Handle = TypeVar("Handle", bound=_Closable)


class Opening(Coroutine[Any, Any, Handle]):
    """A coroutine that opens a handle, for ``await`` or for ``async with``, which closes it."""

    __slots__ = ("_coroutine", "_handle")

    def __init__(self, coroutine: Coroutine[Any, Any, Handle]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Handle]:
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        """Go on with the coroutine."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise in the coroutine."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End the coroutine."""
        self._coroutine.close()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            raise AttributeError(f"this is not open yet and has no {name!r}: await it, or enter it with async with")

    async def __aenter__(self) -> Handle:
        self._handle = await self._coroutine
        return self._handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._handle.close()
