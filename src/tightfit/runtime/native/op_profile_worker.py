"""The profiler's child process: runs a model with LiteRT's C API, as Python does not reach its profiler."""

from __future__ import annotations

from tightfit.runtime.child.serving import serve
from tightfit.runtime.program import PROFILING, Event, Program
from tightfit.types import Array


class ProfileWorker:
    """Answers one request: profile a model."""

    def profile(
        self, path: str, signature: int, arrays: list[Array], threads: int, runs: int
    ) -> list[list[Event]]:
        """Return each run's events in order: (tag, in a delegate or not, node, subgraph, microseconds)."""
        program = Program(path, signature, PROFILING | {"xnnpack": f"num_threads = {threads}\n"})
        program.prepare(arrays)
        program.run()
        return [program.profiled_run() for _ in range(runs)]


def main() -> None:
    """Serves one profile."""
    serve(ProfileWorker)
