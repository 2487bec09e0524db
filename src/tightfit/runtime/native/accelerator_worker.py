"""The child process that runs a model on an accelerator of LiteRT: one file a process."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tightfit.runtime.child.serving import serve
from tightfit.runtime.native.c_api import CPU, GPU, NPU
from tightfit.runtime.program import Program
from tightfit.types import Array

ACCELERATORS = {"cpu": CPU, "gpu": GPU, "npu": NPU}


class AcceleratorWorker:
    """Holds one compiled model at a time."""

    def __init__(self) -> None:
        self._program: Program | None = None

    def compile(
        self,
        path: str,
        signature: int,
        accelerators: tuple[str, ...],
        options: Mapping[str, str],
        folders: Mapping[int, str],
    ) -> None:
        """Compile a model for accelerators, for example ``("gpu", "cpu")``: the CPU takes what is left."""
        self._program = None
        bits = sum(ACCELERATORS[name] for name in accelerators)
        self._program = Program(path, signature, options, bits, folders)

    def run(self, arrays: list[Array]) -> list[Array]:
        """Return the outputs for one sample, both in the signature's order."""
        program = self._compiled()
        program.prepare(arrays)
        program.run()
        return program.outputs()

    def time(self, runs: int) -> list[float]:
        """Return the milliseconds of each of some runs on the last sample."""
        program, found = self._compiled(), []
        for _ in range(runs):
            start = time.perf_counter()
            program.run()
            program.outputs()  # a GPU has ended only when its answer can be read
            found.append(1e3 * (time.perf_counter() - start))
        return found

    def _compiled(self) -> Program:
        if self._program is None:
            raise RuntimeError("no model is compiled")
        return self._program


def main() -> None:
    """Serve one model."""
    serve(AcceleratorWorker)
