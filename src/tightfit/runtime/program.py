"""A model compiled by LiteRT's C API, for what Python does not reach: profiles, accelerators, any type."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import byref, c_bool, c_int, c_size_t, c_void_p
from typing import Any

import numpy as np

from tightfit.runtime.native.c_api import (
    CPU,
    DELEGATE_EVENTS,
    ELEMENT_TYPES,
    KERNEL_EVENT,
    LOCK_TO_READ,
    LOCK_TO_WRITE,
    LiteRt,
    ProfilerEvent,
    TensorLayout,
    TensorType,
)
from tightfit.types import Array

Event = tuple[str, bool, int, int, int]

PROFILING = {"runtime_options_string": "enable_profiling = true\n"}
"""Options that a profiled run needs; the GPU accelerator refuses to run with them."""


class Program:
    """A compiled model with its buffers.

    Args:
        path: the file.
        signature: index of the signature that runs.
        options: component → its options as TOML, for example ``{"xnnpack": "num_threads = 1"}``.
        accelerators: bits of ``c_api.CPU``, ``GPU`` and ``NPU``.
        folders: environment option → folder with libraries, see ``c_api.LiteRt.environment``.

    Raises:
        RuntimeError: LiteRT does not compile the model; the log has its reason.
    """

    def __init__(
        self,
        path: str,
        signature: int,
        options: Mapping[str, str],
        accelerators: int = CPU,
        folders: Mapping[int, str] | None = None,
    ) -> None:
        self._litert = litert = LiteRt()
        self._environment = litert.environment(folders or {})
        model = litert.new("LiteRtCreateModelFromFile", self._environment, path.encode())
        compiling = litert.new("LiteRtCreateOptions")
        litert.call("LiteRtSetOptionsHardwareAccelerators", compiling, c_int(accelerators))
        for identifier, text in options.items():
            litert.call("LiteRtAddOpaqueOptions", compiling, litert.opaque_options(identifier, text))
        self._model = litert.new("LiteRtCreateCompiledModel", self._environment, model, compiling)
        self._signature = litert.new("LiteRtGetModelSignature", model, c_size_t(signature))
        self._index = c_size_t(signature)
        self._inputs: list[c_void_p] = []
        self._outputs: list[c_void_p] = []

    def prepare(self, arrays: list[Array]) -> None:
        """Make the buffers; the inputs take the arrays' shapes and values, in the signature's order."""
        self._inputs = [self._input(i, array) for i, array in enumerate(arrays)]
        self._outputs = [self._buffer("Output", i, layout) for i, layout in enumerate(self._layouts())]

    def run(self) -> None:
        """Run the model once."""
        buffers = (*_counted(self._inputs), *_counted(self._outputs))
        self._litert.call("LiteRtRunCompiledModel", self._model, self._index, *buffers)

    def outputs(self) -> list[Array]:
        """Return a copy of each output of the last run, in the signature's order."""
        return [self._read(i, layout) for i, layout in enumerate(self._layouts())]

    def profiled_run(self) -> list[Event]:
        """Run the model once; return the events of ops, in order. Needs the options ``PROFILING``."""
        profiler = self._litert.new("LiteRtCompiledModelGetProfiler", self._model)
        self._litert.call("LiteRtStartProfiler", profiler)
        self.run()
        self._litert.call("LiteRtStopProfiler", profiler)
        count = c_int()
        self._litert.call("LiteRtGetNumProfilerEvents", profiler, byref(count))
        events = (ProfilerEvent * count.value)()
        self._litert.call("LiteRtGetProfilerEvents", profiler, count, events)
        return [
            (e.tag.decode(), e.event_type != KERNEL_EVENT, e.node, e.subgraph, e.elapsed_us)
            for e in events
            if e.event_type in (KERNEL_EVENT, *DELEGATE_EVENTS)
        ]

    def _layouts(self) -> Any:
        count = c_size_t()
        self._litert.call("LiteRtGetNumSignatureOutputs", self._signature, byref(count))
        layouts = (TensorLayout * count.value)()
        function = "LiteRtGetCompiledModelOutputTensorLayouts"
        self._litert.call(function, self._model, self._index, count, layouts, c_bool(True))
        return layouts

    def _read(self, position: int, layout: TensorLayout) -> Array:
        code = self._tensor_type("Output", position).element_type
        shape = tuple(layout.dimensions[: layout.rank])
        values = np.empty(shape, ELEMENT_TYPES[code])
        address, buffer = c_void_p(), self._outputs[position]
        self._litert.call("LiteRtLockTensorBuffer", buffer, byref(address), c_int(LOCK_TO_READ))
        ctypes.memmove(values.ctypes.data, address, values.nbytes)
        self._litert.call("LiteRtUnlockTensorBuffer", buffer)
        return values

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
