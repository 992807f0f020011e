"""What tests of mistakes share: three rows, a file of them, and how an error has to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIM = 4
ROWS = np.arange(12, dtype=np.float32).reshape(3, DIM) + 1
IDS = [1, 2, 3]


def refused(call: Callable[[], object], *words: str) -> None:
    """Fail unless the call raises one line that has all these words."""
    with pytest.raises((drift.InvalidArgumentError, drift.NotFoundError)) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def parquet(folder: Path, **columns: Any) -> Path:
    """Return a Parquet file of these columns."""
    pq.write_table(pa.table(columns), folder / "own.parquet")
    return folder / "own.parquet"
