"""Count what tells whether code is found: sizes of folders and files, names that occur twice, copies.

    python bench/house.py [REVISION ...]

A column a revision; without one, the working tree. Files are those of ``src/tightfit``.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections import Counter
from pathlib import Path, PurePosixPath

COMMANDS = ("api", "cli", "verbs")
COPIES = {
    "places that say 'Choose a writable place'": r"Choose a writable place",
    "places that say 'is the model itself'": r"is the model itself",
    "signatures made for a copy with other outputs": r"Signature\(\"",
    "asserts that something is not None": r"assert .* is not None",
    "definitions of Array": r"^Array(: .*)? = ",
    "definitions of Samples": r"^Samples(: .*)? = ",
    "places with the start-up text of a child": r"^_START\b",
    "comparisons with the name of an effort": r"effort [!=]= |effort in \(",
}


def files_at(revision: str | None) -> dict[str, str]:
    """Return path → text of the Python files of the package."""
    where = ["ls-files"] if revision is None else ["ls-tree", "-r", "--name-only", revision]
    names = [n for n in _git(*where, "src/tightfit").splitlines() if n.endswith(".py")]
    if revision is None:
        return {n: Path(n).read_text(encoding="utf-8") for n in names}
    return {n: _git("show", f"{revision}:{n}") for n in names}


def _git(*words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def counts(files: dict[str, str]) -> dict[str, str]:
    """Return what is counted → the number, in words where a name belongs to it."""
    paths = [PurePosixPath(n) for n in files]
    folders = Counter(str(p.parent.relative_to("src/tightfit")) for p in paths if p.name != "__init__.py")
    folder, most = folders.most_common(1)[0]
    longest = max(files, key=lambda n: files[n].count("\n"))
    own = [p for p in paths if p.name != "__init__.py" and p.parts[2] not in COMMANDS]
    modules = Counter(p.name for p in own)
    trees = {n: ast.parse(text) for n, text in files.items()}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    classes = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    found = {
        "files": f"{len(paths):,}",
        "largest folder": f"{most} ({folder})",
        "folders of more than 18 files": str(sum(n > 18 for n in folders.values())),
        "longest file": f"{files[longest].count(chr(10))} ({PurePosixPath(longest).name})",
        "files of more than 300 lines": str(sum(t.count("\n") > 300 for t in files.values())),
        "file names in two packages, commands left out": str(sum(n > 1 for n in modules.values())),
        "class names that occur twice": str(sum(n > 1 for n in classes.values())),
        "lines of a function, median and 95 %": ", ".join(
            str(lengths[int(share * len(lengths))]) for share in (0.5, 0.95)
        ),
    }
    found["imports of the package in functions"] = str(sum(map(late_imports, trees.values())))
    for what, pattern in COPIES.items():
        found[what] = str(sum(len(re.findall(pattern, t, re.MULTILINE)) for t in files.values()))
    return found


def late_imports(tree: ast.Module) -> int:
    r"""Return how many imports of the package are inside functions.

    Example:
        >>> late_imports(ast.parse("from tightfit import a\ndef f():\n from tightfit.b import c"))
        1
    """
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {n for f in functions for n in ast.walk(f) if isinstance(n, ast.ImportFrom)}
    return sum((n.module or "").startswith("tightfit") for n in found)


def main() -> None:
    """Print one row for each count, one column for each revision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revisions", nargs="*", help="commits; without any, the working tree")
    revisions: list[str | None] = [*parser.parse_args().revisions] or [None]
    columns = [counts(files_at(revision)) for revision in revisions]
    print("| | " + " | ".join(r or "working tree" for r in revisions) + " |")
    print("|---" * (len(revisions) + 1) + "|")
    for what in columns[0]:
        print(f"| {what} | " + " | ".join(column[what] for column in columns) + " |")


if __name__ == "__main__":
    main()
