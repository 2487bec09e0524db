"""Hold the behaviour of a build: make a corpus of what its commands write, and compare two such corpora.

    python bench/corpus.py make FOLDER [--quick] [--only REGEX] [--resume] [--jobs 2]
    python bench/corpus.py compare BEFORE AFTER

``make`` runs the ``tightfit`` command beside the running interpreter and imports nothing of the package: it
works for any commit. It runs on the demo, a small ONNX model and, where they are, the models of
``../shared/models`` (it names those that are absent). ``record.json`` keeps the exit code of each command; of
each ``.tflite``, the SHA-256 with the provenance blanked; of JSON, the names and types of the entries; of a
command that gives the same each time, also the values and what it printed. The files are in ``FOLDER/out``.
``compare`` prints each difference as one line and exits with 1 when there are any.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from corpus_cases import Case, cases
from corpus_difference import blanked, differences
from corpus_inputs import write_inputs

TIMEOUT_SECONDS = 600


def case_name(case: Case) -> str:
    """Return the command as a file name.

    Example:
        >>> case_name(Case("quantize demo.tflite int8 --io uint8 --data demo.npz -o @.tflite --json"))
        'quantize-demo-int8-io-uint8-data-demo'
    """
    words = re.sub(r"(-o|--calibration) \S+|--json|@|\.(tflite|npz)\b|\bout/", " ", case.words)
    return re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-.") or "no-words"


def flatten(value: Any, exact: bool, path: str = "") -> Iterator[str]:
    """Yield ``path: type`` for each leaf of plain JSON; ``path: value`` when exact."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flatten(item, exact, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for i, item in enumerate(value):
            yield from flatten(item, exact, f"{path}[{i if exact else ''}]")
    else:
        yield f"{path}: {value!r}" if exact else f"{path}: {type(value).__name__}"


def lines_of(text: str, exact: bool) -> list[str]:
    """Return what is compared of a printed text or a JSON file; nothing of other text unless exact."""
    try:
        return sorted(set(flatten(json.loads(text), exact)))
    except ValueError:
        return [line.rstrip() for line in text.splitlines()] if exact else []


def read_output(path: Path, exact: bool) -> str | list[str]:
    """Return the digest of a ``.tflite``, the lines of JSON, "present" for any other file."""
    if path.suffix == ".tflite":
        return hashlib.sha256(blanked(path.read_bytes())).hexdigest()
    return lines_of(path.read_text(), exact) if path.suffix == ".json" else "present"


def run_case(folder: Path, case: Case) -> dict[str, Any]:
    """Run one command in the folder and return its record."""
    name = case_name(case)
    here = Path(sys.executable).parent
    start = time.monotonic()
    environment = {"COLUMNS": "120", "NO_COLOR": "1", "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(here / "tightfit"), *shlex.split(case.words.replace("@", f"out/{name}"))],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    (folder / "out" / f"{name}.txt").write_text(done.stdout + done.stderr)
    made = [f for f in (folder / "out").rglob("*") if f.is_file() and f.suffix != ".txt"]
    mine = {str(f.relative_to(folder / "out")): f for f in made}
    files = {n: read_output(f, case.exact) for n, f in mine.items() if re.match(rf"{re.escape(name)}[./]", n)}
    return {
        "exit": done.returncode,
        "seconds": round(time.monotonic() - start, 1),
        "traceback": "Traceback" in done.stderr,
        "stdout": lines_of(done.stdout, case.exact),
        "files": dict(sorted(files.items())),
    }


def make(options: argparse.Namespace) -> None:
    """Write the corpus; cases of a later stage use files of an earlier one."""
    folder = options.folder.resolve()
    record = prepare(folder, resume=options.resume)
    root = Path(__file__).resolve().parents[1]
    models = write_inputs(folder, root, root.parent / "shared" / "models")
    wanted = list(cases(models, options.quick))
    named = {case_name(c): c for c in wanted}
    if len(named) < len(wanted):
        raise SystemExit("Two commands of corpus_cases.py have one name; expected a name each. Change one.")
    missing = {n: c for n, c in named.items() if n not in record and re.search(options.only, n)}
    for stage in sorted({c.stage for c in missing.values()}):
        names = [n for n, c in missing.items() if c.stage == stage]
        with ThreadPoolExecutor(options.jobs) as pool:
            found = {pool.submit(run_case, folder, missing[n]): n for n in names}
            for future in as_completed(found):
                name, entry = found[future], future.result()
                print(f"{entry['exit']:4} {entry['seconds']:6.1f} s  {name}", flush=True)
                record[name] = entry
                (folder / "record.json").write_text(json.dumps(record, indent=1, sort_keys=True))
    print(f"{len(record)} commands in {folder}")


def prepare(folder: Path, *, resume: bool) -> dict[str, Any]:
    """Return what is recorded in a folder; of a folder that is begun anew, nothing."""
    recorded = folder / "record.json"
    if not resume:
        recorded.unlink(missing_ok=True)
        shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir(parents=True, exist_ok=True)
    return dict(json.loads(recorded.read_text())) if recorded.exists() else {}


def main() -> None:
    """Make a corpus or compare two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="run every command and record what it writes")
    making.add_argument("folder", type=Path)
    making.add_argument("--quick", action="store_true", help="fewer commands, on the smallest models")
    making.add_argument("--only", default="", metavar="REGEX", help="only commands whose name matches")
    making.add_argument("--resume", action="store_true", help="keep what is recorded in FOLDER, run the rest")
    making.add_argument("--jobs", type=int, default=2, help="commands at a time")
    comparing = commands.add_parser("compare", help="print every difference; exit code 1 when there are any")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "make":
        make(options)
        return
    found = list(differences((options.before, options.after)))
    print("\n".join(found) or "no difference")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
