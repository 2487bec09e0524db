"""Runs the command of a stored result again and stores what it prints, with the date and the commit.

    bench/record.py NAME … --in FOLDER

NAME is a file of ``bench/stored`` without its ending, FOLDER holds the models and data of the commands.
``python docs/generate.py`` then writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

BENCH: Final = Path(__file__).resolve().parent
STORED: Final = BENCH / "stored"


def commands(name: str) -> list[str]:
    """Return the commands of a stored result, as they stand in it.

    Raises:
        SystemExit: nothing is stored under that name.
    """
    path = STORED / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in STORED.glob("*.txt")))
        raise SystemExit(f"Nothing is stored as '{name}'. Known: {known}.")
    return [line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("$ ")]


def run(command: str, folder: Path) -> str:
    """Return what a command prints; scripts of ``bench/`` run with this Python.

    Raises:
        SystemExit: it fails.
    """
    words = shlex.split(command)
    if words[0] == "python":
        words = [sys.executable, str(BENCH.parent / words[1]), *words[2:]]
    elif words[0] == "tightfit":
        words = [sys.executable, "-m", *words]
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(f"`{command}` ended with {done.returncode}; nothing is stored.")
    return done.stdout


def record(name: str, folder: Path) -> None:
    """Runs the commands of one result and stores the last one's output."""
    asked = commands(name)
    printed = [run(command, folder) for command in asked]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - git as it is installed
        cwd=BENCH, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    head = [f"# commit: {commit or 'unknown'}", f"# date: {dt.datetime.now(dt.UTC).date()}"]
    lines = [*head, *(f"$ {command}" for command in asked), printed[-1].rstrip()]
    (STORED / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Records the results that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--in", dest="folder", type=Path, default=Path(), help="folder of models and data")
    asked = parser.parse_args()
    for name in asked.names:
        record(name, asked.folder.resolve())


if __name__ == "__main__":
    main()
