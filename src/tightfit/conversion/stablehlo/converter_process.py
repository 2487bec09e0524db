"""The process that turns a StableHLO module into a ``.tflite``; it holds nothing else in memory.

Source: the passes of ``litert_converter.converter_api_ext`` 0.5.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.exporting import Lowered, RouteError, UnreadableError, first_line
from tightfit.errors import ModelError
from tightfit.runtime.child import process

_REFUSED: Final = re.compile(r"(?:failed to legalize operation|error:) '([\w.]+)'")
_FILE: Final = re.compile(r"(/[^\s:'\"]+\.py):\d+")
_PLACE: Final = re.compile(r"(Failed to run converter passes: )?/[^\s:]+:\d+:\d+: error: ")

PENDING: Final = "pending.json"
"""What an exporter leaves for the converter: the module's facts, and the answer when it succeeds."""


def leave(folder: Path, lowered: Lowered, answer: dict[str, Any]) -> None:
    """Write what the converter needs into a folder."""
    facts = {"path": str(lowered.path), "inputs": lowered.inputs, "outputs": lowered.outputs}
    pending = {"lowered": facts | {"routed": lowered.routed}, "answer": answer}
    (folder / PENDING).write_text(json.dumps(pending), encoding="utf-8")


def command(folder: Path, confinement: process.Confinement) -> list[str]:
    """Return the command line of the converter."""
    return process.command(
        "tightfit.conversion.stablehlo.converter_process", ["convert", str(folder)], confinement
    )


def become_converter(folder: Path) -> None:
    """Replace this process, with all that its framework holds, by the converter."""
    words = command(folder, process.Confinement())  # the limits of this process stay
    os.execv(words[0], words)  # noqa: S606 - this Python, our own module


def main() -> None:
    """Convert what ``pending.json`` names into ``raw.tflite``; then write ``answer.json``."""
    folder = Path(sys.argv[2])
    pending = json.loads((folder / PENDING).read_text(encoding="utf-8"))
    facts = pending["lowered"]
    lowered = Lowered(Path(facts["path"]), facts["inputs"], facts["outputs"], facts["routed"])
    answer = pending["answer"]
    try:
        convert(lowered, folder / "raw.tflite")
    except ModelError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def convert(lowered: Lowered, output: Path) -> None:
    """Write the ``.tflite`` of a module, whose file is removed.

    Raises:
        UnreadableError: the bytecode is of another version.
        ModelError: the converter refuses an op; RouteError where another route may take the model.
    """
    from litert_converter import converter_api_ext as api  # noqa: PLC0415 - 100 MB, when there is a module
    from litert_converter.mlir import ir, passmanager  # noqa: PLC0415 - the same

    with ir.Context() as context:
        api.prepare_mlir_context(context)
        data = lowered.path.read_bytes()
        lowered.path.unlink()
        try:
            parsed = ir.Module.parse(data)
        except ir.MLIRError as error:  # some attributes are written in another way by two versions
            raise UnreadableError(f"litert-converter cannot read the model: {first_line(error)}") from error
        del data
        api.set_signature(parsed.operation, "serving_default", lowered.inputs, lowered.outputs)
        try:
            api.run_convert_to_tfl_passes(parsed, passmanager.PassManager(), api.ConvertToTFLConfig())
            api.export_flatbuffer_to_file(parsed.operation, str(output))
        except (RuntimeError, ValueError, ir.MLIRError) as error:
            kind = RouteError if lowered.routed else ModelError
            raise kind(refusal(error)) from error


def refusal(error: BaseException) -> str:
    """Return what litert-converter refuses, with the ops and without the places in its own files.

    Example:
        >>> refusal(RuntimeError("/a/b.py:6:1: error: failed to legalize operation 'tfl.div'"))
        'litert-converter has no form for tfl.div (of b.py); write that part with other operations.'
    """
    text = str(error)
    ops = dict.fromkeys(_REFUSED.findall(text))
    files = dict.fromkeys(Path(name).name for name in _FILE.findall(text))
    if not ops:
        return f"litert-converter cannot express the model: {_PLACE.sub('', first_line(error))}"
    where = f" (of {', '.join(files)})" if files else ""
    return f"litert-converter has no form for {', '.join(ops)}{where}; write that part with other operations."
