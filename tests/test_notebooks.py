"""The notebooks run: each in this process, cell after cell, as the saved ones were executed."""

from __future__ import annotations

import ast
import json

import pytest

from support.places import ROOT

FOLDER = ROOT / "docs" / "notebooks"
NAMES = [path.name.removesuffix(".nb.py") for path in sorted(FOLDER.glob("*.nb.py"))]


def code_cells(name):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    pytest.importorskip("keras", reason="needs Keras: the extra 'keras'")
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "__main__"}
    for cell in code_cells(name):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), space)  # noqa: S102 - the cells are of this project
        if last is not None:
            value = compile(ast.Expression(last.value), name, "eval")
            shown = eval(value, space)  # noqa: S307 - the cells are of this project
            assert getattr(shown, "_repr_html_", lambda: "<table>")().count("<table>") == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_notebook_is_executed_and_that_of_its_script(name):
    blocks = (FOLDER / f"{name}.nb.py").read_text(encoding="utf-8").split("# %%")[1:]
    code = [block.strip() for block in blocks if not block.startswith(" [markdown]")]
    saved = code_cells(name)
    assert ["".join(cell["source"]) for cell in saved] == code, "run: python docs/notebooks/make.py"
    assert all(cell["execution_count"] for cell in saved)
    assert not any(output["output_type"] == "error" for cell in saved for output in cell["outputs"])


def test_the_first_notebook_has_twelve_lines():
    first = "".join(code_cells("first_model")[0]["source"])
    assert len(first.splitlines()) <= 12
