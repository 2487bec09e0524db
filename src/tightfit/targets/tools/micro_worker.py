"""The child process of ``micro``: one model, one arena, some calls in tflite-micro."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Run the model of the folder of the first argument in an arena of as many bytes as the second says.

    The third argument is the number of samples in ``inputs.npz``, the fourth of the model's outputs, which
    are written beside it.
    """
    from tflite_micro.python.tflite_micro import runtime  # noqa: PLC0415 - loaded in the child only

    folder = Path(sys.argv[1])
    arena, samples, outputs = (int(number) for number in sys.argv[2:5])
    interpreter = runtime.Interpreter.from_file(str(folder / "model.tflite"), arena_size=arena)
    interpreter.print_allocations()
    if samples:
        np.savez(
            folder / "outputs.npz", allow_pickle=False, **_answers(interpreter, folder, samples, outputs)
        )
    else:
        interpreter.invoke()
    print("tightfit: ran")  # noqa: T201 - the answer to the parent


def _answers(interpreter: Any, folder: Path, samples: int, outputs: int) -> dict[str, Any]:
    """Each sample begins with fresh variables."""
    found: dict[str, Any] = {}
    with np.load(folder / "inputs.npz", allow_pickle=False) as stored:
        count = len(stored.files) // samples
        for sample in range(samples):
            if sample:
                interpreter.reset()
            for position in range(count):
                interpreter.set_input(stored[f"{sample}.{position}"], position)
            interpreter.invoke()
            found |= {f"{sample}.{i}": np.array(interpreter.get_output(i)) for i in range(outputs)}
    return found
