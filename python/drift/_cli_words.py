"""What the command line says about mistakes: its options in place of Python's arguments, and what was meant."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from drift._arguments import meant, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS: Final = "name the columns with --id and --vector, those of metadata with --metadata a,b"

# What errors of the package say about arguments, and how the same is done here.
_WORDS: Final = (
    (' at row 0 is not in collection "', ' is not in collection "'),
    (': pass missing="skip" to leave unknown ids out', ""),
    (": open it for writing to create it", ": drift create DATABASE COLLECTION --dim N makes one"),
    ("open it, or pass exist_ok=True", "--exist-ok takes it as it is"),
    ("name the columns with id= and vector=, those of metadata with metadata=[...]", _COLUMNS),
    ("or all others with metadata=True", "or all others with --metadata all"),
    ("or load without metadata=", "or load without --metadata"),
    (', or create the collection with id_type="str"', ", or create the collection with --id-type str"),
    (', or create the collection with id_type="int"', ", or create the collection with --id-type int"),
    ('create it with create_collection(..., time="field")', "create it with --time FIELD"),
    ("name its field with time= as well", "name its field with --time as well"),
    ("compare a timestamp field with filter=", "compare a timestamp field with --filter"),
    ("read it with pandas, polars or pyarrow and load the table", "write it as Parquet first, with pandas or duckdb"),
    ("is empty text: pass filter=None for every row", "is empty: leave --filter out for every row"),
    (
        ": use that one, close it, or open this one with read_only=True",
        ": close it first; what only reads works beside it",
    ),
    (": at=None restores the newest one", ": leave --at out to restore the newest one"),
    ("see drift.backups(uri)", "drift backups BACKUPS lists them"),
    ('open with recovery="salvage"', 'open it in Python with drift.connect(..., recovery="salvage")'),
)

# What others call values of options.
_VALUES: Final = {
    "euclidean": "l2",
    "euclid": "l2",
    "ip": "dot",
    "inner_product": "dot",
    "angular": "cosine",
    "string": "str",
    "uuid": "str",
    "int64": "int",
}

# What Ctrl-C leaves behind, by command; the others only read. A command may have done its work already when the signal
# is heard, so nobody is told more than is true then as well.
_LEFT: Final = {
    "create": "the collection is there whole or not at all, drift stats DATABASE tells which",
    "load": "all rows of the files are in or none is, drift count DATABASE COLLECTION tells which",
    "drop": "the collection is there whole or gone, drift stats DATABASE tells which",
    "delete": "all the rows that were named are deleted or none is, drift count DATABASE COLLECTION tells which",
    "optimize": "what was done stays, and no row has changed; it goes on from there when it is called again",
    "backup": "it is listed only if it had finished, and earlier ones are as they were: drift backups BACKUPS tells",
    "restore": "DATABASE is there whole if it had finished, and otherwise nothing is: drift stats DATABASE tells",
    "simulate": "no database was changed; what --save or --out had begun to write may be incomplete",
}
_REPAIR_LEFT: Final = "what was repaired stays, and no row has changed: drift verify DATABASE tells what is left"

_LISTED: Final = re.compile(r"metadata=\[([^\]]*)\]")
_GLOBBED: Final = re.compile(r"glob\.glob\('([^']*)'\)")
_QUOTED: Final = r'"([^"]*)"'
_TYPED: Final = re.compile(r"fields\['(.*)'\] is '(.*)': names are str, types one of")

_INVALID_CHOICE: Final = re.compile(
    r"argument (?P<name>\S+): invalid choice: '(?P<given>.*)' \(choose from (?P<all>.*)\)"
)
_NO_NUMBER: Final = re.compile(r"argument (?P<name>\S+): invalid (?P<kind>int|float) value: (?P<given>'.*')")


def sentence(error: object) -> str:
    """Return an error in one line, with the options of the command line."""
    text = str(error)
    lines = text.split("\n")
    if lines[-1].strip() == "^":
        # The place in a filter, which its number tells as well.
        text = lines[0]
    for python, here in _WORDS:
        text = text.replace(python, here)
    text = _LISTED.sub(lambda found: f"--metadata {','.join(re.findall(_QUOTED, found[1]))}", text)
    text = _GLOBBED.sub(r"\1", text)
    text = _TYPED.sub(r"--field \1=\2: the type must be one of", text)
    return " ".join(text.split())


def interrupted(arguments: argparse.Namespace) -> str:
    """Return what to say when Ctrl-C has ended a command: what it has changed."""
    repairs = arguments.command == "verify" and arguments.repair
    return f"interrupted: {_REPAIR_LEFT if repairs else _LEFT.get(arguments.command, 'nothing was changed')}"


class Parser(argparse.ArgumentParser):
    """A parser that knows what was probably meant."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments, or end the process with the nearest option of the command."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            parser: Parser = getattr(found, "parser", self)
            given = next((text for text in rest if text.startswith("-")), None)
            if given is None:
                parser.error(f"too many arguments: {' '.join(rest)}")
            if given.split("=", 1)[0] in parser._option_string_actions:
                parser.error(f"{given} stands behind the command: {parser.prog} {given} ...")
            parser.error(f"there is no option {given}{_option(given, list(parser._option_string_actions))}")
        return found

    def error(self, message: str) -> NoReturn:
        """End the process with a message that names what is near to a wrong choice."""
        wrong = _INVALID_CHOICE.match(message)
        if wrong is not None:
            message = _choice(wrong["name"], wrong["given"], re.findall(r"'([^']*)'", wrong["all"]))
        elif (number := _NO_NUMBER.match(message)) is not None:
            wanted = "a whole number" if number["kind"] == "int" else "a number"
            message = f"{number['name']} is {number['given']}: it must be {wanted}"
        elif message.endswith(" required: COMMAND"):
            message = "give a command: drift --help lists them, drift completion SHELL prints a script for the Tab key"
        super().error(message)


def _choice(name: str, given: str, choices: Sequence[str]) -> str:
    known = _VALUES.get(given.lower())
    close = known if known in choices else nearest(given.lower(), choices)
    hint = f"there are {', '.join(choices)}" if close is None else f"did you mean {close}?"
    if name == "COMMAND":
        return f"there is no command {given!r}: {hint}"
    return f"{name} is {given!r}: {hint}"


def _option(given: str, options: list[str]) -> str:
    names = {option.lstrip("-").replace("-", "_"): option for option in options}
    name = given.split("=", 1)[0].lstrip("-").replace("-", "_")
    known = meant(name, names) or nearest(name, names)
    return "; --help lists what there is" if known is None else f": did you mean {names[known]}?"
