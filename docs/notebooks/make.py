"""Writes the notebooks from their cells, executed: pip install nbclient ipykernel, then run this file."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def cells(path: Path) -> nbformat.NotebookNode:
    """Return the notebook of a script: text after ``# %% [markdown]``, code after ``# %%``."""
    notebook = nbformat.v4.new_notebook()
    for block in path.read_text(encoding="utf-8").split("# %%")[1:]:
        if block.startswith(" [markdown]"):
            lines = [line.removeprefix("# ").removeprefix("#") for line in block.splitlines()[1:]]
            cell = nbformat.v4.new_markdown_cell("\n".join(lines).strip())
        else:
            cell = nbformat.v4.new_code_cell(block.strip())
        cell["id"] = f"cell-{len(notebook.cells)}"
        notebook.cells.append(cell)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def main(names: list[str]) -> None:
    """Execute the named scripts, or all."""
    for path in sorted(HERE.glob("*.nb.py")):
        if names and path.name.removesuffix(".nb.py") not in names:
            continue
        notebook = cells(path)
        NotebookClient(notebook, timeout=600).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        place = path.with_name(path.name.removesuffix(".nb.py") + ".ipynb")
        nbformat.write(notebook, place)
        print(place)


if __name__ == "__main__":
    main(sys.argv[1:])
