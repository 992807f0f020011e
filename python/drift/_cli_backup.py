"""The commands ``drift backup``, ``drift backups`` and ``drift restore``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import drift
from drift import _cli

if TYPE_CHECKING:
    import argparse

COLUMNS = ["number", "time", "incremental", "files", "bytes", "files_copied", "bytes_copied"]


def add_to(commands: Any) -> None:
    """Add the commands to the parser of the command line."""
    command = _cli.bare_command(
        commands, _backup, "backup", "copy a database into a folder of backups", "drift backup ./db /mnt/backups"
    )
    command.add_argument("database", metavar="DATABASE", help="folder of the database; another process may be writing")
    command.add_argument("backups", metavar="BACKUPS", help="folder of its backups, created when it is missing")
    command.add_argument("--full", action="store_true", help="copy also what earlier backups have copied")
    _cli._add_quiet(command)

    command = _cli.bare_command(
        commands, _backups, "backups", "list the backups in a folder", "drift backups /mnt/backups --verify"
    )
    command.add_argument("backups", metavar="BACKUPS", help="folder of backups")
    command.add_argument("--verify", action="store_true", help="read every byte of them; exit code 1 when one is wrong")

    command = _cli.bare_command(
        commands,
        _restore,
        "restore",
        "make a database of a backup",
        "drift restore /mnt/backups ./db --at 2026-01-31T12:00",
    )
    command.add_argument("backups", metavar="BACKUPS", help="folder of backups")
    command.add_argument("database", metavar="DATABASE", help="folder of the new database; nothing may be there")
    command.add_argument(
        "--at",
        metavar="MOMENT",
        help="number of a backup, or a time (local unless it names a zone): the newest that began until then",
    )
    _cli._add_quiet(command)


def _facts(backup: drift.Backup, as_json: bool) -> int:
    facts = backup.to_dict()
    return _cli._print_facts(facts if as_json else {**facts, "collections": ", ".join(backup.collections)}, as_json)


def _backup(arguments: argparse.Namespace) -> int:
    with drift.connect(arguments.database, read_only=True) as db:
        taken = db.backup(arguments.backups, incremental=not arguments.full, progress=_cli._wants_progress(arguments))
    return _facts(taken, arguments.json)


def _backups(arguments: argparse.Namespace) -> int:
    found = [backup.to_dict() for backup in drift.backups(arguments.backups)]
    problems = drift.verify_backups(arguments.backups) if arguments.verify else []
    if arguments.json:
        _cli._print_json({"backups": found, "problems": problems} if arguments.verify else found)
    else:
        _cli._print_table(COLUMNS, [[backup[column] for column in COLUMNS] for backup in found])
        for problem in problems:
            sys.stdout.write(f"  {problem}\n")
    return 1 if problems else 0


def _restore(arguments: argparse.Namespace) -> int:
    at = int(arguments.at) if arguments.at is not None and arguments.at.isdecimal() else arguments.at
    done = drift.restore(arguments.backups, arguments.database, at=at, progress=_cli._wants_progress(arguments))
    return _facts(done, arguments.json)
