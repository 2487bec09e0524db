# ruff: noqa: INP001 - a hook of mkdocs beside the pages, not a package
"""A hook of mkdocs: the build fails where a public name of the package is not described.

Every name of ``tightfit.__all__`` must be in ``api.md`` and have a docstring with a line for each argument.
The sources are parsed and not imported, so the site builds without the package's dependencies.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "tightfit"
PAGE = Path(__file__).with_name("api.md")


def on_pre_build(config: object) -> None:
    """Fail the build with the list of what is not described."""
    del config
    if faults := undocumented():
        raise SystemExit("Not described in the API reference: " + "; ".join(faults))


def undocumented() -> list[str]:
    """Return what a public name lacks: its place in api.md, its docstring, the line of an argument."""
    listed = {line.removeprefix("::: ") for line in PAGE.read_text(encoding="utf-8").splitlines()}
    return [fault for name, place in public_names().items() for fault in _faults(name, place, listed)]


def public_names() -> dict[str, str]:
    """Return the public names with the module and the name in it."""
    found = {}
    for node in ast.walk(_tree(PACKAGE / "__init__.py")):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tightfit."):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: found[name] for name in _all() if name != "__version__"}


def _all() -> list[str]:
    for node in _tree(PACKAGE / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise SystemExit("tightfit has no __all__")


def _faults(name: str, place: str, listed: set[str]) -> list[str]:
    if place not in listed:
        return [f"{name} ({place}) is not in api.md"]
    module, _, own = place.rpartition(".")
    file = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [n for n in _tree(file).body if isinstance(n, kinds) and n.name == own]
    if not found:
        return [f"{name} is not in {file}"]
    text = ast.get_docstring(found[0]) or ""
    if not text:
        return [f"{name} has no docstring"]
    return [
        f"{name}: argument '{a}' is not described"
        for a in _arguments(found[0])
        if not re.search(rf"(?m)^\s*{a}:", text)
    ]


def _arguments(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """The arguments of a function, the fields of a dataclass."""
    if isinstance(node, ast.FunctionDef):
        return [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return []
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return [ast.unparse(n.target) for n in fields if not ast.unparse(n.target).startswith("_")]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    on_pre_build(None)
