"""Imports point one way, never to an equal, and the package's root is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

from support.places import SRC

ROOT = SRC / "tightfit"
ORDER = (
    "errors",
    "argument_types watched",
    "types kinds result spoken plugins late",
    "units scratch plain_values",
    "paths",
    "files",
    "graph",
    "data runtime streaming weights",
    "evaluation conversion provenance",
    "quantization",
    "training targets",
    "recovery compression",
    "pipeline",
    "diagnosis deployment",
    "search",
    "distributed",
    "report",
    "tracking",
    "api",
    "cli",
)
"""The arrow: a package imports those before it, never one beside or behind it."""
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names.split()}
# Small packages beside the arrow: the demo is data, the root gives its version.
FREE = {"demo", "__init__", "__main__"}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tightfit."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {n.name.split(".")[1] for n in node.names if n.name.startswith("tightfit.")}
    return found


def test_imports_point_one_way():
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own in FREE:
            continue
        wrong += [
            f"{path.relative_to(ROOT)} imports {other}"
            for other in imports_of(path) - {own} - FREE
            if LEVEL[other] >= LEVEL[own]
        ]
    assert not wrong


def modules_of(path: Path) -> set[str]:
    """The modules of the package that a file imports when it is loaded."""
    tree = ast.parse(path.read_text())
    loaded = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module]
    return {n.module.removeprefix("tightfit.") for n in loaded if n.module.startswith("tightfit.")}


def test_no_module_imports_itself_through_others():
    needs = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): modules_of(path)
        for path in ROOT.rglob("*.py")
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name in done or name not in needs:
            return
        for other in needs[name]:
            visit(other, (*way, name))
        done.add(name)

    for name in needs:
        visit(name, ())


def test_importing_the_package_loads_neither_keras_nor_litert():
    code = (
        "import sys, tightfit; "
        "heavy = [m for m in sys.modules if m.split('.')[0] in ('keras', 'ai_edge_litert', 'numpy')]; "
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_folder_is_small_and_a_file_name_means_one_thing():
    files = [p.relative_to(ROOT) for p in ROOT.rglob("*.py") if p.name != "__init__.py"]
    folders = Counter(p.parent for p in files)
    assert max(folders.values()) <= 20, folders.most_common(1)
    assert max(len(p.parts) for p in files) <= 3, "two folders deep"
    rooms = [p.name for p in files if p.parts[0] not in ("api", "cli")]  # a command is in both
    assert [name for name, count in Counter(rooms).items() if count > 1] == []
