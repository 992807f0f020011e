"""Backups: copies of a database in a folder of their own, and databases made of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from drift import _core
from drift._address import address
from drift._checks import flag, is_int
from drift._errors import InvalidArgumentError
from drift._progress import closing, display
from drift._show import html_table

if TYPE_CHECKING:
    import os
    from typing import Self

    from drift._progress import Display
    from drift._types import Progress

__all__ = ["Backup", "backups", "restore", "verify_backups"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Backup:
    """A finished backup of a database.

    Attributes
    ----------
    number : int
        Its number in the folder of backups, from 1.
    time : datetime
        When it began, in UTC: all that was acknowledged before is in it.
    incremental : bool
        Whether it could use the files of earlier backups.
    collections : tuple of str
        Names of its collections.
    files, bytes : int
        Its files, and their size.
    files_copied, bytes_copied : int
        Those of them that it copied; the others had been copied before.
    """

    number: int
    time: datetime
    incremental: bool
    collections: tuple[str, ...]
    files: int
    bytes: int
    files_copied: int
    bytes_copied: int

    @classmethod
    def _read(cls, figures: dict[str, Any]) -> Self:
        time = _EPOCH + timedelta(microseconds=figures.pop("time_us"))
        return cls(time=time, collections=tuple(figures.pop("collections")), **figures)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name as JSON takes them, the time in ISO 8601."""
        return {**vars(self), "time": self.time.isoformat(), "collections": list(self.collections)}

    def _repr_html_(self) -> str:
        rows = {**vars(self), "time": self.time.isoformat(), "collections": ", ".join(self.collections)}
        return html_table(repr(self), ["", ""], list(rows.items()))


def take(inner: _core.Database, uri: str | os.PathLike[str], incremental: object, shown: Display | None) -> Backup:
    """Back a database up."""
    wanted = flag("incremental", incremental)
    with closing(shown) as update:
        return Backup._read(inner.backup(address(uri), wanted, update))


def backups(uri: str | os.PathLike[str]) -> list[Backup]:
    """Return the finished backups in a folder of backups, oldest first.

    Parameters
    ----------
    uri : str or path
        The folder that `Database.backup` was given.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    CorruptionError
        When the record of a backup is damaged; the message names it.

    Examples
    --------
    >>> import drift
    >>> db = drift.connect("memory://backups-source")
    >>> db.backup("memory://backups-folder").number
    1
    >>> [backup.number for backup in drift.backups("memory://backups-folder")]
    [1]
    """
    return [Backup._read(figures) for figures in _core.backups(address(uri))]


def verify_backups(uri: str | os.PathLike[str]) -> list[str]:
    """Read every byte of the backups in a folder, and return what is wrong.

    Parameters
    ----------
    uri : str or path
        The folder that `Database.backup` was given.

    Returns
    -------
    list of str
        Sentences that name the file; empty when all backups can be restored.

    Raises
    ------
    CorruptionError
        When the record of a backup is damaged; the message names it.
    """
    return _core.verify_backups(address(uri))


def restore(
    backup_uri: str | os.PathLike[str],
    target_uri: str | os.PathLike[str],
    *,
    at: int | datetime | str | None = None,
    progress: Progress = None,
) -> Backup:
    """Make a database of a backup, where there is none yet.

    Every file is compared with what was backed up, on its way and after it arrived. A restore that does not finish
    leaves nothing, or, when its process dies, a folder that does not open and that may be restored to again.

    Parameters
    ----------
    backup_uri : str or path
        The folder of backups.
    target_uri : str or path
        Where the database goes: a folder that does not exist or is empty, or ``memory://name``.
    at : int, datetime or str, optional
        Which backup: a number, or the newest one that began at a time or before it (a `datetime`, or text as ISO 8601
        writes it; local time where there is no time zone). The newest of all when None.
    progress : bool or callable, optional
        As in `Database.backup`.

    Returns
    -------
    Backup
        The one that was restored.

    Raises
    ------
    NotFoundError
        When there is no such folder or no such backup.
    AlreadyExistsError
        When there is anything at `target_uri`; it is left as it is.
    CorruptionError
        When a file of the backup is damaged or missing; the message names it.

    Examples
    --------
    >>> import drift
    >>> db = drift.connect("memory://restore-source")
    >>> c = db.create_collection("docs", dim=2, metric="l2")
    >>> c.upsert([1], [[0.5, 2.0]])
    >>> _ = db.backup("memory://restore-folder")
    >>> _ = drift.restore("memory://restore-folder", "memory://restore-target")
    >>> drift.connect("memory://restore-target")["docs"].ids().tolist()
    [1]
    """
    return make(backup_uri, target_uri, at, display(progress, "bytes"))


def make(
    backup_uri: str | os.PathLike[str],
    target_uri: str | os.PathLike[str],
    at: int | datetime | str | None,
    shown: Display | None,
) -> Backup:
    """Make a database of a backup."""
    number, time = _moment(at)
    with closing(shown) as update:
        return Backup._read(_core.restore(address(backup_uri), address(target_uri), number, time, update))


def _moment(at: object) -> tuple[int | None, int | None]:
    """Return the number or the microseconds since 1970."""
    if at is None:
        return None, None
    if is_int(at):
        if not 1 <= at < 2**63:
            raise InvalidArgumentError(f"at is {at}: numbers of backups begin with 1, see drift.backups(uri)")
        return int(at), None
    time = at
    if isinstance(at, str):
        try:
            time = datetime.fromisoformat(at)
        except ValueError:
            raise InvalidArgumentError(f"at is {at!r}: write a time as 2026-01-31T12:00:00+00:00") from None
    if not isinstance(time, datetime):
        raise InvalidArgumentError(f"at is {at!r}: it must be the number of a backup, a datetime or ISO 8601 text")
    passed = time.astimezone(UTC) - _EPOCH
    return None, max(0, passed // timedelta(microseconds=1))
