"""Prints how long whole searches take, one process each, and what they chose.

Each ``--search`` is an effort and limits:

    bench/search_time.py --model M.tflite --data photos/ --image size=224 --search "quick --max-drop 0.001"
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine


def run(options: argparse.Namespace, search: str, folder: Path) -> tuple[float, dict[str, Any]]:
    """Gives the seconds of one search, its process's start included, and its report."""
    effort, *limits = shlex.split(search)
    words = [
        "optimize",
        str(options.model),
        "--data",
        options.data,
        "--effort",
        effort,
        "--judge",
        "estimate",
        *limits,
    ]
    words += ["--image", options.image] if options.image else []
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tightfit", *words, "-o", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1):  # 1: nothing fits the budget
        raise SystemExit(f"{search}: {done.stderr.strip().splitlines()[-1]}")
    return seconds, json.loads((folder / "report.json").read_text())


def row(search: str, seconds: float, report: dict[str, Any]) -> str:
    """Gives one line of the table."""
    made = report["candidates"]
    best = next(c for c in made if c["name"] == report["best"])
    measured = sum(c["accuracy"] is not None for c in made)
    share = best["size_bytes"] / made[0]["size_bytes"]
    return (
        f"{search:46} {seconds:8.1f} {measured:4} of {len(made):2}  {best['name']:16} {share:6.3f} "
        f"{best['drop']:+7.4f} {'yes' if best['meets_budget'] else 'no':>5}"
    )


def main() -> None:
    """Runs the searches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="float .tflite")
    parser.add_argument("--data", required=True, help="as for the tightfit command")
    parser.add_argument("--image", help="as for the tightfit command")
    parser.add_argument("--search", action="append", required=True, help="effort and limits, in quotes")
    options = parser.parse_args()
    print(describe_machine())
    print(f"{'':46} {'seconds':>8} {'measured':>10}  {'chosen':16} {'size':>6} {'drop':>7} {'fits':>5}")
    for search in options.search:
        with tempfile.TemporaryDirectory() as folder:
            print(row(search, *run(options, search, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
