"""The notebook of the examples runs: its cells in this process, and in a kernel where nbclient is installed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples" / "packages.ipynb"


def test_the_cells_of_the_notebook_run_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    notebook = json.loads(NOTEBOOK.read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 8
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "it is kept without outputs"
    scope: dict[str, Any] = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"cell {number}", "exec"), scope)  # noqa: S102 - our own notebook.
    assert scope["by_target"][0.95] > 0.9


# Kernels and their sockets warn of themselves.
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_in_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="the extra suites is not installed")
    pytest.importorskip("ipykernel", reason="the extra suites is not installed")
    import nbformat

    monkeypatch.chdir(NOTEBOOK.parent)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    done = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("text/html" in output.get("data", {}) for output in shown), "results show themselves as tables"
