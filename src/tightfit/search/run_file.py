"""The run file: a search as a few lines of TOML, written into every report and read back by ``--run``.

Keys are the options of ``tightfit optimize`` with underscores. Paths of files are relative to the run file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.formats import is_spec
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import DataError, OptionError, printable, unknown_name
from tightfit.kinds import Pathlike
from tightfit.paths import read_text
from tightfit.search.job import Job
from tightfit.search.verdict.budget import Budget
from tightfit.streaming.slice_axes import NamedSlices

NAME: Final = "tightfit.toml"
_SIMPLE: Final = (
    "calibration", "evaluation", "seed", "threads", "layout", "observer", "effort", "provenance",
    "signature",
)  # fmt: skip
_LIMITS: Final = ("minutes", "judge", "confident", "target", "min_accelerated")
_PATHS: Final = ("model", "data", "calibration_data")
KEYS: Final = (
    *_PATHS, "image", "metric", "max_drop", "max_size", "max_zip", "max_latency", "memory", "only",
    "slices", *_SIMPLE, *_LIMITS,
)  # fmt: skip
_FUNCTION: Final = re.compile(r"[^\W\d]\w*:[^\W\d]")
_PRESET: Final = {f.name: f.default for kind in (Job, Budget) for f in fields(kind)}


def run_facts(job: Job) -> dict[str, object]:
    """Return what a job was asked for, by the names of options; defaults are left out.

    An object of Python that no file can hold is left out: the data of such a run is named by its type.
    """
    budget = job.budget
    ratio = f"{budget.max_latency_ratio:g}x" if budget.max_latency_ratio else None
    metrics = job.metric if isinstance(job.metric, str) else None
    given: dict[str, object] = {
        "model": _named(job.model),
        "data": _named(job.data),
        "calibration_data": _named(job.calibration_data),
        "image": None if job.image is None else image_text(job.image),
        "metric": None if metrics == "auto" else metrics,
        "max_drop": ",".join(f"{k}={v}" for k, v in budget.max_drops.items()) or budget.max_drop,
        "max_latency": ratio or (None if budget.max_latency is None else f"{budget.max_latency:g}ms"),
        "memory": _bytes(budget.target_memory),
        "max_size": _bytes(budget.max_size),
        "max_zip": _bytes(budget.max_zip),
        "only": list(job.recipes),
        "slices": [slices_text(each) for each in job.slices],
    }
    given |= {name: getattr(job, name) for name in _SIMPLE}
    given |= {name: getattr(budget, name) for name in _LIMITS}
    return {k: v for k, v in given.items() if v not in (None, []) and v != _PRESET.get(k, None)}


def _bytes(size: int | None) -> str | None:
    return None if size is None else f"{size}B"


def _named(value: object) -> str | None:
    return os.fspath(value) if isinstance(value, str | os.PathLike) else None


def image_text(image: ImageOptions) -> str:
    """Return image options as ``--image`` takes them.

    Example:
        >>> image_text(ImageOptions.parse("size=224,crop=0.875,mean=127"))
        'size=224x224,crop=0.875,mean=127'
    """
    words = []
    for each in fields(ImageOptions):
        value = getattr(image, each.name)
        if value == each.default:
            continue
        joined = "x" if each.name == "size" else "/"
        shown = joined.join(f"{v:g}" for v in value) if isinstance(value, tuple) else value
        words.append(f"{each.name}={shown}")
    return ",".join(words)


def slices_text(named: NamedSlices) -> str:
    """Return named slices as ``--slices`` takes them."""
    parts = ",".join(f"{part.begin}-{part.end}={part.name}" for part in named.parts)
    return f"{named.output}={named.axis}:{parts}"


def to_toml(facts: Mapping[str, object], folder: Path) -> str:
    """Return a run file that lies in a folder; paths of files that exist are relative to it."""
    lines = ["# What this search was asked for: tightfit optimize --run tightfit.toml -o DIR"]
    for name, value in facts.items():
        shown = _relative(str(value), folder) if name in _PATHS else value
        lines.append(f"{name} = {json.dumps(shown, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _relative(name: str, folder: Path) -> str:
    file, colon, arrays = name.rpartition(":") if ".npz:" in name else (name, "", "")
    if not os.path.exists(file):  # noqa: PTH110 - never raises
        return name
    return os.path.relpath(file, folder) + colon + arrays


def read_run(path: Pathlike) -> dict[str, Any]:
    """Return the options of a run file, or of a report's ``run``, with paths from where the file lies.

    Raises:
        DataError: the file cannot be read. OptionError: it has an unknown key.
    """
    file = Path(path)
    try:
        text = read_text(file, "The run file")
        plain = json.loads(text).get("run") if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"The run file '{file}' cannot be read ({error}); expected tightfit.toml or report.json."
        ) from error
    if not isinstance(plain, dict) or not plain:
        raise DataError(f"The report '{file}' has no run; expected one of this release, or tightfit.toml.")
    for name in plain:
        if name not in KEYS:
            raise OptionError(unknown_name("key of the run file", str(name), KEYS))
    return {k: _absolute(str(v), file.parent) if k in _PATHS else v for k, v in plain.items()}


def refuse_functions(known: Mapping[str, object], given: Collection[str], file: Pathlike) -> None:
    """Checks that a run file names no code: its functions run only where the user spells or trusts them.

    Args:
        known: what ``read_run`` returns.
        given: keys that the user gave beside the file.
        file: what messages call it.

    Raises:
        OptionError: names the function.
    """
    for name in (*_PATHS, "metric", "max_drop"):
        value = known.get(name)
        if name in given or not isinstance(value, str):
            continue
        if is_spec(value) if name in _PATHS else _FUNCTION.search(value):
            raise OptionError(
                f"The run file '{printable(Path(file).name, 40)}' names a function as "
                f"{name.replace('_', ' ')} ('{printable(value, 60)}'), which runs with your rights. Name it "
                "yourself, or pass --trust-code (trust_code=True) if you trust it."
            )


def _absolute(name: str, folder: Path) -> str:
    file, colon, arrays = name.rpartition(":") if ".npz:" in name else (name, "", "")
    beside = folder / file
    return f"{beside}{colon}{arrays}" if os.path.exists(beside) else name  # noqa: PTH110 - never raises


def command_of(facts: Mapping[str, object], output: str = "out") -> str:
    """Return the command line of a run.

    Example:
        >>> command_of({"model": "m.tflite", "data": "x.npz", "max_drop": 0.02, "confident": True})
        'tightfit optimize m.tflite --data x.npz --max-drop 0.02 --confident -o out'
    """
    words = ["tightfit", "optimize", str(facts.get("model", "MODEL"))]
    if "data" not in facts:
        words += ["--data", "DATA"]
    for name, value in facts.items():
        if name == "model":
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [
                w for each in (value if isinstance(value, list) else [value]) for w in (option, str(each))
            ]
    return shlex.join([*words, "-o", output])
