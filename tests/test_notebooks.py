"""The notebooks run from top to bottom, show what they promise, and are stored without outputs."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def executed(name, folder):
    """The outputs of every code cell, by the first line of its source."""
    notebook = read(name)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    with ThreadPoolExecutor(1) as pool:  # this thread may have an event loop already
        pool.submit(asyncio.run, client.async_execute()).result()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.source.splitlines()[-1]: cell.outputs for cell in cells}


def shown(outputs, kind):
    """Everything of one MIME type in the outputs of a cell, or its printed text."""
    if kind == "stdout":
        return "".join(each.text for each in outputs if each.output_type == "stream" and each.name == "stdout")
    return "".join(each.data.get(kind, "") for each in outputs if "data" in each)


def test_learn(tmp_path):
    cells = executed("learn", tmp_path)
    for name in ("history", "found", "fooled", "misread"):
        assert "<table>" in shown(cells[name], "text/html"), name
    for start in ("history.figure", "contact_sheet", "inputopt.pairs_sheet"):
        (figure,) = [outputs for source, outputs in cells.items() if source.startswith(start)]
        assert len(shown(figure, "image/png")) > 10_000, start
    assert "8 of 8 succeeded" in shown(cells["fooled"], "text/html")
    (printed,) = [shown(outputs, "stdout") for source, outputs in cells.items() if "row.largest" in source]
    disagreement = re.findall(r"^(\w+) +(\S+)$", printed, re.MULTILINE)
    assert len(disagreement) == 5
    assert all(float(number) < 1e-5 for _, number in disagreement)
    assert "dCost/dBias" in shown(cells["print(inputopt.explain(small, [[1.0, 0.5]], [[0.0]]))"], "stdout")
    assert "result.json" in shown(cells["print([path.name for path in written])"], "stdout")


def test_evaluate(tmp_path):
    cells = executed("evaluate", tmp_path)
    for name in ("net", "report", "curve", "found"):
        assert "<table>" in shown(cells[name], "text/html"), name
    assert "PGD, 8 steps" in shown(cells["report"], "text/html")
    assert len(shown(cells["curve.figure()"], "image/png")) > 10_000
    (counts,) = [shown(outputs, "stdout") for outputs in cells.values() if "saved images" in shown(outputs, "stdout")]
    succeeded, misread = map(int, re.findall(r"\d+", counts))
    assert succeeded == misread > 25
    assert "report.json" in shown(list(cells.values())[-1], "text/plain")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_outputs(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_every_notebook_is_run():
    assert NOTEBOOKS == ["evaluate", "learn"]
