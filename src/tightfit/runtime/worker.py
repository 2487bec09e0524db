"""The child process: loads one model in LiteRT and obeys the session that started it.

The only module that imports LiteRT's interpreter. See ``serving`` for how requests come in.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from ai_edge_litert.interpreter import (  # noqa: TID251 - this is the one module that may
    Interpreter,
    OpResolverType,
    SignatureRunner,
)

from tightfit.graph.names import unique_names
from tightfit.runtime.child.confinement import limit_memory
from tightfit.runtime.child.serving import ObserverError, serve
from tightfit.runtime.loaded import MainGraph, SignatureGraph
from tightfit.types import Array

_LARGE_FILE: Final = 16_000_000
"""Bytes of a file from which on its pages are worth a system call."""


class Worker:
    """The state between requests: the loaded graph and the observers that look at it."""

    def __init__(self) -> None:
        self._graph: MainGraph | SignatureGraph | None = None
        self._large: str | None = None
        self._observers: dict[str, Any] = {}
        self._readers: list[tuple[str, Any, Callable[[], Array]]] = []

    def load(
        self, path: str, threads: int, delegate: bool, signature: str | None, memory_bytes: int | None = None
    ) -> dict[str, Any]:
        """Loads and allocates a model; gives what its inputs and outputs are called and look like."""
        if memory_bytes is not None:
            limit_memory(memory_bytes)
        before = peak_memory_bytes()
        resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(
            model_path=path, num_threads=threads, experimental_op_resolver_type=resolver
        )
        signatures = list(interpreter.get_signature_list())
        runner = _runner(interpreter, signatures, signature)
        if runner is None:
            inputs = _by_name(interpreter.get_input_details())
            outputs = _by_name(interpreter.get_output_details())
        else:
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
        if runner is not None and runner._subgraph_index != 0:  # noqa: SLF001 - nothing public names the graph
            self._graph = SignatureGraph(runner)
        else:
            del runner  # it refers to the interpreter's memory, which then refuses to run
            self._graph = MainGraph(interpreter, inputs, outputs)
        large = os.path.getsize(path) > _LARGE_FILE  # noqa: PTH202 - pathlib costs start-up time
        self._large = path if large else None
        self._drop_pages()
        return {
            "inputs": [_spec(name, d) for name, d in inputs.items()],
            "outputs": [_spec(name, d) for name, d in outputs.items()],
            "signatures": signatures,
            "memory_before_bytes": before,
        }

    @property
    def graph(self) -> MainGraph | SignatureGraph:
        """The loaded graph."""
        if self._graph is None:
            raise ValueError("no model is loaded")
        return self._graph

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Runs one sample; gives copies of the outputs by name."""
        self.graph.fill(inputs)
        self._invoke()
        return self.graph.results()

    def each(self, action: str, batch: list[dict[str, Array]]) -> tuple[list[Any], float]:
        """Runs ``run`` or ``see`` for each of several samples; gives what it returns, and the seconds."""
        start = time.perf_counter()
        answers = [getattr(self, action)(inputs) for inputs in batch]
        return answers, time.perf_counter() - start

    def _invoke(self) -> None:
        """Runs the graph; what the first run of a large model packed is not read from its file again."""
        self.graph.invoke()
        self._drop_pages()
        self._large = None

    def _drop_pages(self) -> None:
        """Return the pages of a large, mapped model back: kernels have packed its weights."""
        if self._large is None:
            return
        ends = (f" {self._large}\n", f" {self._large} (deleted)\n")
        with contextlib.suppress(OSError, AttributeError, ValueError):
            madvise = ctypes.CDLL(None).madvise
            with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123 - the same
                places = [line.split()[0] for line in maps if line.endswith(ends)]
            for place in places:
                start, end = (int(number, 16) for number in place.split("-"))
                madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)

    def time(self, inputs: dict[str, Array], runs: int, warmup: int) -> list[float]:
        """Milliseconds of each of ``runs`` invocations, the copies of inputs and outputs left out."""
        self.graph.fill(inputs)
        for _ in range(warmup):
            self.graph.invoke()
        milliseconds = []
        for _ in range(runs):
            start = time.perf_counter()
            self.graph.invoke()
            milliseconds.append((time.perf_counter() - start) * 1e3)
        return milliseconds

    def watch(self, observers: dict[str, Any], memory_bytes: int | None = None) -> None:
        """Sets the observers, by output, that each later ``see`` updates."""
        if memory_bytes is not None:
            limit_memory(memory_bytes)
        self._observers = observers
        self._readers = [(key, o, self.graph.reader(key)) for key, o in observers.items()]

    def see(self, inputs: dict[str, Array]) -> None:
        """Runs one sample and shows each observer its output, without a copy."""
        self.graph.fill(inputs)
        try:
            self._invoke()
        except RuntimeError as error:
            if "reference to internal data" in str(error):
                raise ObserverError(
                    "An observer kept a view of its array; it must copy what it keeps."
                ) from error
            raise
        for key, observer, read in self._readers:
            try:
                observer.update(read())
            except Exception as error:
                raise ObserverError(
                    f"The observer of '{key}' failed: {type(error).__name__}: {error}"
                ) from error

    def observed(self) -> dict[str, Any]:
        """The observers with what they saw."""
        seen, self._observers, self._readers = self._observers, {}, []
        return seen

    def unload(self) -> None:
        """Frees the model, so that the next one does not come on top of it."""
        self._graph, self._observers, self._readers = None, {}, []
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what was freed

    def memory(self) -> int:
        """The most memory this process ever held, bytes."""
        return peak_memory_bytes()


def peak_memory_bytes() -> int:
    """The most memory this process ever held, bytes.

    Linux: ``VmHWM``, because ``ru_maxrss`` of a child made by ``vfork`` starts with the parent's size.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - pathlib costs start-up time
            line = next(text for text in status if text.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _runner(interpreter: Interpreter, signatures: list[str], wanted: str | None) -> SignatureRunner | None:
    """The runner of the wanted signature, of ``serving_default``, else of the first; None without any."""
    if wanted is not None and wanted not in signatures:
        known = ", ".join(f"'{s}'" for s in signatures) or "none"
        raise ValueError(f"the model has no signature '{wanted}' (it has: {known})")
    if not signatures:
        return None
    default = "serving_default" if "serving_default" in signatures else signatures[0]
    return interpreter.get_signature_runner(wanted or default)


def _by_name(details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return dict(zip(unique_names([str(d["name"]) for d in details]), details, strict=True))


def _spec(name: str, details: dict[str, Any]) -> dict[str, Any]:
    """Return an input or output of a session as plain values."""
    parameters = details["quantization_parameters"]
    single = len(parameters["scales"]) == 1
    dtype = np.dtype(details["dtype"])
    return {
        "name": name,
        "shape": tuple(int(n) for n in details["shape"]),
        "dtype": "string" if dtype.kind in "SO" else dtype.name,
        "scale": float(parameters["scales"][0]) if single else None,
        "zero_point": int(parameters["zero_points"][0]) if single else None,
        "shape_signature": tuple(int(n) for n in details["shape_signature"]),
    }


def main() -> None:
    """Serves one session."""
    serve(Worker)
