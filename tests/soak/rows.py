"""What the soak runs: for each row of the table of figures a command for a part of it, which follows from its number.

A part is so small that ending a run loses little, and the first parts of all rows together are the gate. Parts of one
row differ in their seeds, or in the numbers of the cases below one seed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Where a part of a Rust row begins among seeds: far from the parts before it, which draw from their seeds on.
SEEDS_OF_A_PART = 1_000

# Simulations of a part, each with a seed of its own: half a minute.
SIMULATIONS = 50


@dataclass(frozen=True)
class Part:
    """One run: its command, and what it is told by the environment."""

    command: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Row:
    """One property: its name, its parts for a release, those of the gate, and its program if that is in Rust.

    `part` takes the number of the part, the seed and the path of the program.
    """

    name: str
    parts: int
    gate: int
    part: Callable[[int, int, Path | None], Part]
    program: str | None = None


def _python(name: str, parts: int, gate: int, module: str, options: Callable[[int], list[str]]) -> Row:
    def part(number: int, seed: int, program: Path | None) -> Part:
        del program
        return Part([sys.executable, "-m", module, "--seed", str(seed), *options(number)], {})

    return Row(name, parts, gate, part)


def _kill(durability: str, *, at_operations: bool) -> Row:
    more = ["--durability", durability, *(["--operations"] if at_operations else [])]
    name = f"kill-{durability}{'-operations' if at_operations else ''}"
    return _python(name, 10, 2, "tests.kill", lambda number: ["--first", str(1_000 * number), "--kills", "1000", *more])


def _rust(
    name: str, parts: int, gate: int, program: str, test: str, *, each: int = SEEDS_OF_A_PART, **environment: int | str
) -> Row:
    """Return a row of tests in Rust; part n has the seed ``seed + n * each``."""

    def part(number: int, seed: int, program: Path | None) -> Part:
        own = str(seed + number * each)
        told = {"DRIFT_SEED": own, "PROPTEST_RNG_SEED": own, **{key: str(value) for key, value in environment.items()}}
        return Part([str(program), test, "--nocapture"], told)

    return Row(name, parts, gate, part, program)


def _simulation() -> Row:
    return _rust(
        "simulation",
        20_000 // SIMULATIONS,
        4,
        "power_loss",
        "simulation::the_engine",
        each=SIMULATIONS,
        DRIFT_SIMULATIONS=SIMULATIONS,
        DRIFT_SIMULATION_STEPS=2_000,
    )


ROWS: tuple[Row, ...] = (
    *(_kill(mode, at_operations=at) for mode in ("always", "os", "interval") for at in (False, True)),
    _python("mutate", 50, 5, "tests.mutate", lambda number: ["--first", str(1_000 * number), "--count", "1000"]),
    _python(
        "processes",
        25,
        3,
        "tests.processes",
        lambda number: ["--first", str(20 * number), "--rounds", str(20 * number + 20)],
    ),
    _rust("crash", 10, 1, "power_loss", "crash::", DRIFT_CRASH_IMAGES=2_500),
    _rust("faults", 4, 1, "power_loss", "faults::", DRIFT_CRASH_IMAGES=1_325),
    _simulation(),
    _rust("simulation-short", 20, 1, "power_loss", "simulation::the_engine", DRIFT_SIMULATIONS=1_000),
    _rust("flips", 1, 1, "damage", "flips", DRIFT_FLIPS="all"),
    _rust("forged", 10, 1, "damage", "forged", DRIFT_FORGED=100_000),
    _rust("corpus", 10, 1, "corpus", "", DRIFT_FUZZ=400),
    _rust("linearizability", 20, 1, "linearizability", "", DRIFT_HISTORIES=50, DRIFT_HISTORY_CALLS=250),
    _rust("interleavings", 50, 2, "interleavings", "", DRIFT_INTERLEAVINGS=2_000),
    _rust("model", 4, 1, "engine", "", PROPTEST_CASES=500),
    _rust("model-metadata", 4, 1, "payload", "", PROPTEST_CASES=500),
)
