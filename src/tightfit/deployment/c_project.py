"""Write the sources of an application: the model as an array, its ops, its inputs and outputs, an example.

Only ``NAME_runner.cc`` and ``NAME_ops.h`` need the headers of tflite-micro; the rest is plain C11.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.deployment.c_tensors import CTensor, c_bytes, c_values
from tightfit.deployment.resolver import resolver_methods
from tightfit.errors import OptionError
from tightfit.graph.ir import Model
from tightfit.types import Array

_TEMPLATES: Final = Path(__file__).parent / "templates"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FLOAT_TOLERANCE: Final = 1e-4
C_SOURCES: Final = ("main.c", "model_data.c", "model_test.c")
"""Templates of the sources that need no header of tflite-micro."""
RUNNER: Final = "model_runner.cc"


@dataclass(frozen=True)
class Project:
    """What the sources are made from.

    Args:
        name: prefix of files and identifiers, in lower case.
        model: the model in the array.
        file: its bytes.
        arena_bytes: least arena.
        persistent_bytes: its part for the interpreter's own structures.
        inputs: a test vector, in the graph's order.
        outputs: see ``inputs``.
        host: the processor that the arena was measured on.
    """

    name: str
    model: Model
    file: bytes
    arena_bytes: int
    persistent_bytes: int
    inputs: Sequence[Array]
    outputs: Sequence[Array]
    host: str


def check_name(name: str) -> str:
    """Return a prefix of identifiers.

    Raises:
        OptionError: it is not of lower-case letters, digits and underscores, or too long.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"Received the name '{name}'; expected lower-case letters, digits and underscores, "
            "such as 'model'."
        )
    return name


def write_project(project: Project, folder: Path) -> list[Path]:
    """Write all sources into a folder that exists; return their paths in alphabetical order."""
    view = _view(project)
    written = []
    for template in sorted(_TEMPLATES.iterdir()):
        path = folder / file_name(template.name, project.name)
        path.write_text(_environment().get_template(template.name).render(view), encoding="utf-8")
        written.append(path)
    return written


def source_names(name: str) -> list[str]:
    """Return the names of the files that ``write_project`` writes, in alphabetical order of the templates."""
    return [file_name(template.name, name) for template in sorted(_TEMPLATES.iterdir())]


def file_name(template: str, name: str) -> str:
    """Return the name of the file that a template becomes.

    Example:
        >>> file_name("model_data.c", "digits"), file_name("main.c", "digits")
        ('digits_data.c', 'main.c')
    """
    return template.replace("model_", f"{name}_", 1)


def _view(project: Project) -> dict[str, Any]:
    graph = project.model.main
    inputs = [CTensor.of(t, i) for i, t in enumerate(graph.inputs)]
    outputs = [CTensor.of(t, i) for i, t in enumerate(graph.outputs)]
    floats = [float(np.abs(a).max(initial=0.0)) for a in project.outputs if a.dtype.kind == "f"]
    tolerance = f"{_FLOAT_TOLERANCE * max(*floats, 1e-6):.3g}" if floats else "0.0"
    return {
        "name": project.name,
        "upper": project.name.upper(),
        "guard": f"TIGHTFIT_{project.name.upper()}",
        "camel": "".join(word.capitalize() for word in project.name.split("_")),
        "file_bytes": len(project.file),
        "file_text": c_bytes(project.file),
        "arena_bytes": project.arena_bytes,
        "persistent_bytes": project.persistent_bytes,
        "host": project.host,
        "inputs": inputs,
        "outputs": outputs,
        "methods": resolver_methods(project.model),
        "variables": len(variable_names(project.model)),
        "test_inputs": list(zip(inputs, map(c_values, project.inputs), strict=True)),
        "test_outputs": list(zip(outputs, map(c_values, project.outputs), strict=True)),
        "tolerance": tolerance,
    }


def variable_names(model: Model) -> set[str]:
    """Return the names of a model's resource variables."""
    ops = (op for graph in model.graphs for op in graph.ops if op.kind == "VAR_HANDLE")
    return {str(op.options.get("sharedName")) for op in ops}


@functools.cache
def _environment() -> Any:
    import jinja2  # noqa: PLC0415 - only a deployment needs it

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701 - C, not a page; no text of a model's file is put into it
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
