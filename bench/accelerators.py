"""Holds the verdicts of ``check`` against the accelerators themselves, over one-op files, schemes and models.

    python bench/accelerators.py                      # every one-op file in every scheme
    python bench/accelerators.py --cases 'CONV*' --schemes int8
    python bench/accelerators.py --models a.tflite    # whole models
    python bench/accelerators.py --own --store FOLDER # also writes the table of docs/targets.md

Needs a Vulkan driver (docs/target.md). A file differs when the verdict and the accelerator disagree on
loading it, on any op's place, or on whether its values are right. What LiteRT's CPU refuses is left out. Ops
that are called wrong and come out right are tried with more samples: an index may be right by chance.
"""

from __future__ import annotations

import argparse
import datetime as dt
import fnmatch
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from accelerator_cases import CASES, cases
from machine import describe_machine
from support.one_op_models import Case, build, draw, merge
from support.one_op_twins import value_ranges
from tightfit.errors import RuntimeFailureError, TightfitError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import serialize
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.arithmetic import quantize
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.targets.placement import check
from tightfit.targets.profile import Target, find_target
from tightfit.targets.target_planning import rewrites_for
from tightfit.targets.tools.agreement import noise_inputs
from tightfit.targets.tools.tool_table import TOOLS

_MOST = 16
_TRIES = 5
_ROW = "{:<34} {:<8} {:>4} {:>5} {:>7} {:>5}  {}"
SCHEMES = "float32,float16,weight8,dynamic,int8,int8io,int8x4,int16x8,weight4"


@dataclass(frozen=True)
class File:
    """One file of the sweep.

    Args:
        inputs: values in the order of the model's inputs. parts: the cases that it was merged of.
    """

    name: str
    scheme: str
    model: Model
    inputs: Sequence[np.ndarray[Any, Any]]
    parts: Sequence[File] = ()


def main() -> int:
    """Print each difference, and the counts."""
    options = _options()
    print(f"{describe_machine()}\n")
    target = find_target(options.target)
    tool = TOOLS[target.family.tool]
    if reason := tool.available():
        print(reason)
        return 2
    sweep = _Sweep(tool, target, _Cache(options.cache))
    start = time.monotonic()
    if options.models:
        print(_ROW.format("model", "scheme", "ops", "there", "dB", "steps", "wrong ops"))
    for file in _files(options):
        sweep.judge(file, row=bool(options.models))
    minutes = (time.monotonic() - start) / 60
    if options.store is not None:
        _store(options.store / f"accelerators-{target.name}.json", sweep, tool.title)
    for scheme, counts in sweep.counts.items():
        print(
            f"{scheme:<8} {counts['files']:>5} files {counts['ops']:>6} ops {counts['different']:>4} differ"
        )
    words = f"{sweep.files} files, {sweep.ops} ops: {sweep.different} files differ"
    print(f"\n{words} from {target.family.tool} ({minutes:.0f} minutes)")
    return int(sweep.different > 0)


class _Sweep:
    """Files held against a tool, with the counts."""

    def __init__(self, tool: Any, target: Target, cache: _Cache) -> None:
        self._tool, self._target, self._cache = tool, target, cache
        self.files = self.ops = self.different = 0
        self.cells: dict[str, dict[str, str]] = {}
        self.counts: dict[str, dict[str, int]] = {}

    def judge(self, file: File, *, row: bool = False) -> None:
        """Compare verdict and tool; a merged file that is refused whole is split until one case is left."""
        said, differences = self._compared(file)
        if said["refused"] and len(file.parts) > 1:
            middle = len(file.parts) // 2
            for half in (file.parts[:middle], file.parts[middle:]):
                self.judge(_merged(half, file.scheme))
            return
        if differences and file.parts:  # a fault of one op may spoil the others of the file
            for part in file.parts:
                self.judge(part)
            return
        if said["no_cpu"]:
            return
        self._count(file, differences)
        for difference in differences:
            print(f"{file.name:<40} {file.scheme:<8} {difference}", flush=True)
        if row:
            _print_row(file, said)

    def _compared(self, file: File) -> tuple[dict[str, Any], list[str]]:
        """What the tool says of a file, and what differs from the verdict."""
        content = bytes(serialize(file.model))
        said = self._cache.get(content, lambda: _judged(self._tool, file, self._target))
        differences = list(_differences(file.model, said, self._target.name))
        for seed in range(1, _TRIES) if not file.parts else ():
            if not differences or not all("verdict: wrong" in d for d in differences):
                break
            said = self._again(file, content, seed)
            differences = list(_differences(file.model, said, self._target.name))
        return said, differences

    def _count(self, file: File, differences: Sequence[str]) -> None:
        """Count a file, and note what the target does with each of its cases."""
        ops = sum(len(g.ops) for g in file.model.graphs)
        counts = self.counts.setdefault(file.scheme, {"files": 0, "ops": 0, "different": 0})
        for name, more in (("files", 1), ("ops", ops), ("different", int(bool(differences)))):
            counts[name] += more
        self.files, self.ops = self.files + 1, self.ops + ops
        self.different += bool(differences)
        for part in file.parts or (file,):
            told = "differs" if differences else cell(part, self._target)
            self.cells.setdefault(part.name, {})[part.scheme] = told

    def _again(self, file: File, content: bytes, seed: int) -> dict[str, Any]:
        """What the tool says of a file with other inputs."""
        other = replace(file, inputs=noise_inputs(file.model, seed))
        return self._cache.get(content + bytes([seed]), lambda: _judged(self._tool, other, self._target))


def _print_row(file: File, said: Mapping[str, Any]) -> None:
    """Print where a model's ops run, how far its outputs are from the CPU's, and which ops are wrong."""
    levels = [o[1] for o in said["outputs"] if o[1] is not None]
    steps = [o[2] for o in said["outputs"] if o[2] is not None]
    least = f"{min(levels):.1f}" if levels else "equal"
    most = f"{max(steps):g}" if steps else ""
    wrong = said["refused"] or len(said["wrong"]) or "none"
    there, ops = len(said["accelerated"]), sum(len(g.ops) for g in file.model.graphs)
    print(_ROW.format(file.name[:34], file.scheme, ops, there, least, most, wrong), flush=True)
    for sentence in said["said"][1:]:
        print(f"    {sentence}")


def cell(file: File, target: Target) -> str:
    """Return what a target does with the op of a file, in a word; the sweep held it against the tool."""
    verdict = check(file.model, target)
    places = [p for p in verdict.placements if p.kind == file.name.split("-")[0]]
    if verdict.refused or not verdict.runs:
        return "refused"
    if any(p.wrong for p in verdict.placements):
        return "wrong"
    return "runs" if all(p.accelerated for p in places) else "CPU"


def _store(path: Path, sweep: _Sweep, title: str) -> None:
    """Write the table that docs/generate.py reads, with what it was made by."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - git as it is installed
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    made = {"judge": title, "litert": version("ai-edge-litert"), "commit": commit}
    made |= {"date": dt.datetime.now(dt.UTC).date().isoformat()}
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    schemes = before.get("schemes", {}) | sweep.counts
    made |= {"different": sum(c["different"] for c in schemes.values())}
    made |= {"files": sum(c["files"] for c in schemes.values()), "schemes": schemes}
    known, own = before.get("cases", {}), {case.name for case in CASES}
    cases = {name: known.get(name, {}) | cells for name, cells in sweep.cells.items() if name in own}
    rows = {name: _in_order(cells) for name, cells in sorted((known | cases).items())}
    path.write_text(json.dumps(made | {"cases": rows}, indent=1) + "\n", encoding="utf-8")


def _in_order(cells: Mapping[str, str]) -> dict[str, str]:
    return {scheme: cells[scheme] for scheme in SCHEMES.split(",") if scheme in cells}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="gpu")
    parser.add_argument("--cases", default="*", help="pattern of names")
    parser.add_argument("--schemes", default=SCHEMES)
    parser.add_argument("--models", nargs="*", type=Path, default=[])
    parser.add_argument("--own", action="store_true", help="the cases of the project's tests only")
    parser.add_argument("--alone", action="store_true", help="one case a file")
    parser.add_argument("--store", type=Path, help="folder for the table, such as bench/stored")
    parser.add_argument("--cache", type=Path, help="a file that keeps what the accelerator said")
    return parser.parse_args()


class _Cache:
    """What the tool said, by the file's digest: one JSON object a line."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._known = path, dict[str, Any]()
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self._known[row["digest"]] = row["said"]

    def get(self, content: bytes, ask: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._known:
            self._known[digest] = ask()
            if self._path is not None:
                with self._path.open("a") as stream:
                    stream.write(json.dumps({"digest": digest, "said": self._known[digest]}) + "\n")
        found: dict[str, Any] = self._known[digest]
        return found


def _judged(tool: Any, file: File, target: Any) -> dict[str, Any]:
    try:
        result = tool.run(file.model, target, file.inputs)
    except RuntimeFailureError as error:
        return {"failed": str(error), "refused": "", "no_cpu": False}
    wrong = result.wrong_outputs
    return {
        "refused": result.refused,
        "no_cpu": bool(result.details.get("cpu_refuses")),
        "accelerated": sorted(result.accelerated or ()),
        "reasons": [[*place, reason] for place, reason in result.reasons.items()],
        "outputs": [[o.name not in wrong, o.snr_db, o.steps, o.usual_db] for o in result.outputs],
        "wrong": [[*place, words] for place, words in result.wrong.items()],
        "said": list(result.sentences),
    }


def _differences(model: Model, said: Mapping[str, Any], target: str) -> Iterator[str]:
    """Yield what the verdict and the tool do not agree on."""
    if said.get("failed"):
        yield f"tool: {said['failed']}"
        return
    verdict = check(model, target)
    own_refusal = "" if verdict.runs else verdict.refused or verdict.fallbacks[0].reason
    if bool(own_refusal) != bool(said["refused"]):
        yield f"verdict: {own_refusal or 'takes it'}; tool: {said['refused'] or 'takes it'}"
    if own_refusal or said["refused"]:
        return
    own = {(p.graph, p.index) for p in verdict.placements if p.accelerated}
    theirs = {tuple(place) for place in said["accelerated"]}
    reasons = {(g, i): reason for g, i, reason in said["reasons"]}
    why = {(p.graph, p.index): f"{p.kind}: {p.reason}" for p in verdict.placements}
    for place in sorted(own ^ theirs):
        side = "verdict: runs" if place in own else f"verdict: falls back ({why[place]})"
        yield f"#{place[1]} {side}; tool: {reasons.get(place, 'runs')}"
    wrong = _wrong_outputs(model, verdict)
    for tensor, output in zip(model.main.outputs, said["outputs"], strict=False):
        right = output[0]
        if right == (tensor.name in wrong):
            yield f"'{tensor.name}' verdict: {'right' if not right else 'wrong'}; tool: {output[1:]}"


def _wrong_outputs(model: Model, verdict: Any) -> set[str]:
    """The outputs that depend on an op whose values the verdict calls wrong."""
    ops = model.main.ops
    bad = {id(ops[p.index]) for p in verdict.placements if p.graph == 0 and p.wrong}
    spoilt: set[int] = set()
    for op in ops:
        if id(op) in bad or any(t is not None and id(t) in spoilt for t in op.inputs):
            spoilt.update(id(t) for t in op.outputs)
    return {t.name for t in model.main.outputs if id(t) in spoilt}


def _files(options: argparse.Namespace) -> Iterator[File]:
    if options.models:
        for path in options.models:
            yield from _versions(path, options.schemes.split(","), find_target(options.target))
        return
    for scheme in options.schemes.split(","):
        known = itertools.islice(cases(), len(CASES)) if options.own else cases()
        chosen = [c for c in known if fnmatch.fnmatch(c.name, options.cases)]
        for batch in _batches(chosen, 1 if options.alone else _MOST):
            parts = [f for case in batch for f in _file(case, scheme)]
            if parts:
                yield _merged(parts, scheme)


def _batches(chosen: Sequence[Case], most: int) -> Iterator[list[Case]]:
    """Yield cases of different kinds together, so that a refused kind is one op."""
    waiting: dict[str, list[Case]] = {}
    for case in chosen:
        waiting.setdefault(case.kind, []).append(case)
    while waiting:
        kinds = sorted(waiting, key=lambda kind: -len(waiting[kind]))[:most]
        yield [waiting[kind].pop(0) for kind in kinds]
        waiting = {kind: left for kind, left in waiting.items() if left}


def _file(case: Case, scheme: str) -> Iterator[File]:
    """Yield the case in a scheme, unless it is the same as in float."""
    made = _made(case, scheme)
    if made is None:
        return
    content = bytes(serialize(made))
    if scheme == "float32" or content != bytes(serialize(build(case))):
        yield File(case.name, scheme, read_model(content), _stored(made, draw(case)))


def _merged(parts: Sequence[File], scheme: str) -> File:
    """One file of several: independent ops run in one graph as they run alone."""
    if len(parts) == 1:
        return replace(parts[0], parts=())
    model = merge({part.name: copy_model(part.model) for part in parts})
    inputs = [value for part in parts for value in part.inputs]
    return File(f"{parts[0].name} and {len(parts) - 1} more", scheme, model, inputs, parts)


def _versions(path: Path, schemes: Sequence[str], target: Target) -> Iterator[File]:
    """Yield a float model in each scheme, rewritten for the target; "as-is" is the file itself."""
    for scheme in schemes:
        try:
            model = read_model(path) if scheme == "as-is" else _written(path, scheme, target)
        except TightfitError as error:
            print(f"{path.stem:<40} {scheme:<8} not made: {str(error)[:100]}")
            continue
        yield File(path.stem, scheme, model, noise_inputs(model))


def _written(path: Path, scheme: str, target: Target) -> Model:
    whole = read_model(path)
    sample = dict(zip(input_names(whole), noise_inputs(whole), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.tflite"
        quantize_file(path, find_scheme(scheme), made, [sample] if "int" in scheme else None)
        changed, _ = rewrites_for(target, read_model(made.read_bytes()))
    return read_model(bytes(serialize(changed)))


def _made(case: Any, scheme: str) -> Model | None:
    """The case in a scheme, None where there is no such file."""
    model = build(case)
    if scheme == "float32":
        return model
    try:
        ranges = _ranges(case) if "int" in scheme else {}
        plain = find_scheme(scheme.removesuffix("io"), "int8" if scheme.endswith("io") else "float32")
        return apply_plan(model, make_plan(model, plain, ranges))
    except (TightfitError, AssertionError, ValueError, KeyError):
        return None


_known_ranges: dict[str, Any] = {}


def _ranges(case: Any) -> Any:
    if case.name not in _known_ranges:
        _known_ranges.clear()
        _known_ranges[case.name] = value_ranges([case])[case.name]
    return _known_ranges[case.name]


def _stored(model: Model, values: Mapping[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """The values in the types of the model's inputs."""
    found = []
    for tensor in model.main.inputs:
        value, q = values[tensor.name], tensor.quantization
        if q is not None and tensor.is_quantized and value.dtype.kind == "f":
            value = quantize(value, q.scale, q.zero_point, tensor.dtype)
        found.append(value.astype(tensor.dtype))
    return found


if __name__ == "__main__":
    sys.exit(main())
