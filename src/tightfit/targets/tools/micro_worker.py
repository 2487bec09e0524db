"""The child process of ``micro``: one model, one arena, one call in tflite-micro."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the model of the first argument in an arena of as many bytes as the second says."""
    from tflite_micro.python.tflite_micro import runtime  # noqa: PLC0415 - loaded in the child only

    interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
    interpreter.print_allocations()
    interpreter.invoke()
    print("tightfit: ran")  # noqa: T201 - the answer to the parent
