"""The profiler's child process: runs a model with LiteRT's C API, as Python does not reach its profiler."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_bool, c_int, c_size_t, c_void_p
from typing import Any

import numpy as np

from tightfit.runtime.c_api import (
    CPU,
    DELEGATE_EVENTS,
    KERNEL_EVENT,
    LOCK_TO_WRITE,
    LiteRt,
    ProfilerEvent,
    TensorLayout,
    TensorType,
)
from tightfit.runtime.serving import serve
from tightfit.types import Array

Event = tuple[str, bool, int, int, int]


class ProfileWorker:
    """Answers one request: profile a model."""

    def profile(
        self, path: str, signature: int, arrays: list[Array], threads: int, runs: int
    ) -> list[list[Event]]:
        """Gives each run's events in order: (tag, in a delegate or not, node, subgraph, microseconds)."""
        program = _Program(path, signature, threads)
        program.prepare(arrays)
        program.run()
        return [program.profiled_run() for _ in range(runs)]


class _Program:
    """A compiled model with its buffers."""

    def __init__(self, path: str, signature: int, threads: int) -> None:
        self._litert = litert = LiteRt()
        self._environment = litert.new("LiteRtCreateEnvironment", c_int(0), None)
        model = litert.new("LiteRtCreateModelFromFile", self._environment, path.encode())
        options = litert.new("LiteRtCreateOptions")
        litert.call("LiteRtSetOptionsHardwareAccelerators", options, c_int(CPU))
        texts = {
            "runtime_options_string": "enable_profiling = true\n",
            "xnnpack": f"num_threads = {threads}\n",
        }
        for identifier, text in texts.items():
            litert.call("LiteRtAddOpaqueOptions", options, litert.opaque_options(identifier, text))
        self._model = litert.new("LiteRtCreateCompiledModel", self._environment, model, options)
        self._signature = litert.new("LiteRtGetModelSignature", model, c_size_t(signature))
        self._index = c_size_t(signature)
        self._profiler = litert.new("LiteRtCompiledModelGetProfiler", self._model)
        self._buffers: tuple[Any, ...] = ()

    def prepare(self, arrays: list[Array]) -> None:
        """Makes the buffers; the inputs take the arrays' shapes and values, in the signature's order."""
        inputs = [self._input(i, array) for i, array in enumerate(arrays)]
        count = c_size_t()
        self._litert.call("LiteRtGetNumSignatureOutputs", self._signature, byref(count))
        layouts = (TensorLayout * count.value)()
        function = "LiteRtGetCompiledModelOutputTensorLayouts"
        self._litert.call(function, self._model, self._index, count, layouts, c_bool(True))
        outputs = [self._buffer("Output", i, layout) for i, layout in enumerate(layouts)]
        self._buffers = (*_counted(inputs), *_counted(outputs))

    def run(self) -> None:
        """Runs the model once."""
        self._litert.call("LiteRtRunCompiledModel", self._model, self._index, *self._buffers)

    def profiled_run(self) -> list[Event]:
        """Runs the model once; gives the events of ops, in order."""
        self._litert.call("LiteRtStartProfiler", self._profiler)
        self.run()
        self._litert.call("LiteRtStopProfiler", self._profiler)
        count = c_int()
        self._litert.call("LiteRtGetNumProfilerEvents", self._profiler, byref(count))
        events = (ProfilerEvent * count.value)()
        self._litert.call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return [
            (e.tag.decode(), e.event_type != KERNEL_EVENT, e.node, e.subgraph, e.elapsed_us)
            for e in events
            if e.event_type in (KERNEL_EVENT, *DELEGATE_EVENTS)
        ]

    def _input(self, position: int, array: Array) -> c_void_p:
        at, dims = c_size_t(position), (c_int * array.ndim)(*array.shape)
        layout = TensorLayout()
        where = (self._model, self._index, at)
        if self._file_shape(position) != array.shape:
            function = "LiteRtCompiledModelResizeInputTensorNonStrict"
            self._litert.call(function, *where, dims, c_size_t(array.ndim))
        self._litert.call("LiteRtGetCompiledModelInputTensorLayout", *where, byref(layout))
        buffer = self._buffer("Input", position, layout)
        address = c_void_p()
        self._litert.call("LiteRtLockTensorBuffer", buffer, byref(address), c_int(LOCK_TO_WRITE))
        data = np.ascontiguousarray(array)
        ctypes.memmove(address, data.ctypes.data, data.nbytes)
        self._litert.call("LiteRtUnlockTensorBuffer", buffer)
        return buffer

    def _file_shape(self, position: int) -> tuple[int, ...]:
        layout = self._tensor_type("Input", position).layout
        return tuple(layout.dimensions[: layout.rank])

    def _tensor_type(self, side: str, position: int) -> TensorType:
        at, kind = c_size_t(position), TensorType()
        tensor = self._litert.new(f"LiteRtGetSignature{side}TensorByIndex", self._signature, at)
        self._litert.call("LiteRtGetRankedTensorType", tensor, byref(kind))
        return kind

    def _buffer(self, side: str, position: int, layout: TensorLayout) -> c_void_p:
        kind = self._tensor_type(side, position)
        kind.layout = layout
        function = f"LiteRtGetCompiledModel{side}BufferRequirements"
        needs = self._litert.new(function, self._model, self._index, c_size_t(position))
        function = "LiteRtCreateManagedTensorBufferFromRequirements"
        return self._litert.new(function, self._environment, byref(kind), needs)


def _counted(handles: list[c_void_p]) -> tuple[c_size_t, Any]:
    return c_size_t(len(handles)), (c_void_p * len(handles))(*handles)


def main() -> None:
    """Serves one profile."""
    serve(ProfileWorker)
