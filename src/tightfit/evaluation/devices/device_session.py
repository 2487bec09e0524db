"""A file on a device, with the methods of a ``runtime.Session``: samples go there and outputs come back.

No code of the device's is run here: outputs come as bytes, whose types and shapes are the file's.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np

from tightfit.errors import RuntimeFailureError
from tightfit.evaluation.devices.transport import Transport, device_folder, last
from tightfit.graph.ir import Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names, output_names
from tightfit.runtime.input_samples import TensorSpec, fit_sample, random_sample
from tightfit.types import Array

_LIMIT_S: Final = 600.0
_MOST_BYTES: Final = 1 << 31

Start = Callable[[str], str]
"""Given a folder on the device, copies what is needed there and returns the command that serves the file."""


class DeviceSession:
    """The main graph of a file on a device; a context manager.

    Args:
        transport: reaches the device.
        path: the file.
        start: prepares a folder there, see ``Start``.

    Attributes:
        inputs: what the model takes.
        outputs: what it gives.

    Raises:
        RuntimeFailureError: the device cannot be reached, or its LiteRT refuses the file.
    """

    def __init__(self, transport: Transport, path: Path, start: Start) -> None:
        model = read_model(path)
        self.inputs, self.outputs = _specs(input_names(model)), _specs(output_names(model))
        self._url, self._stack = transport.url, contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(device_folder(transport))
            self._said = stack.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                transport.words(start(folder)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
            )
            stack.callback(self._end)
            self._answer()
            self._stack = stack.pop_all()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of one sample by name.

        Raises:
            DataError: the sample does not fit. RuntimeFailureError: the device fails.
        """
        sample = fit_sample(inputs, self.inputs)
        parts = [np.ascontiguousarray(sample[spec.name]).tobytes() for spec in self.inputs]
        self._send(f"run {len(parts)}\n".encode(), parts)
        return {s.name: self._array(s, b) for s, b in zip(self.outputs, self._answer(), strict=True)}

    def run_many(self, samples: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
        """Return the outputs of each sample in turn."""
        for sample in samples:
            yield self.run(sample)

    def time(self, runs: int, warmup: int = 0) -> list[float]:
        """Return the milliseconds of each of some runs on random inputs, measured on the device.

        Raises:
            RuntimeFailureError: the device fails.
        """
        self.run(random_sample(self.inputs))
        self._send(f"time {runs} {warmup}\n".encode())
        parts = self._answer()
        if len(parts) != 1 or len(parts[0]) != 8 * runs:
            raise RuntimeFailureError(f"'{self._url}' answered no times.")
        return [float(ms) for ms in np.frombuffer(parts[0], "<f8")]

    @property
    def peak_memory_bytes(self) -> int | None:
        """None: the device does not report it."""
        return None

    def close(self) -> None:
        """End the process, and remove what was copied."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _send(self, line: bytes, parts: Sequence[bytes] = ()) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(line)
            for part in parts:
                self._process.stdin.write(struct.pack("<Q", len(part)) + part)
            self._process.stdin.flush()
        except OSError as error:
            raise RuntimeFailureError(self._gone()) from error

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _answer(self) -> list[bytes]:
        deadline = time.monotonic() + _LIMIT_S
        head = b""
        while not head.endswith(b"\n"):
            head += self._read(1, deadline)
            if len(head) > 40:
                raise RuntimeFailureError(f"'{self._url}' answered '{head!r}', which is no answer.")
        word, _, count = head.decode("ascii", "replace").partition(" ")
        parts = [self._part(deadline) for _ in range(int(count) if count.strip().isdigit() else 0)]
        if word == "ok":
            return parts
        said = parts[0].decode("utf-8", "replace")[:300] if parts else head.decode("ascii", "replace")
        raise RuntimeFailureError(f"LiteRT on '{self._url}' says: {said.strip().rstrip('.')}.")

    def _part(self, deadline: float) -> bytes:
        size = struct.unpack("<Q", self._read(8, deadline))[0]
        if size > _MOST_BYTES:
            raise RuntimeFailureError(f"'{self._url}' announced {size:,} bytes, more than any output has.")
        return self._read(size, deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        handle, found = self._process.stdout.fileno(), bytearray()
        while len(found) < count:
            ready, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise RuntimeFailureError(f"'{self._url}' gave no answer within {_LIMIT_S:.0f} s.")
            more = os.read(handle, count - len(found))
            if not more:
                raise RuntimeFailureError(self._gone())
            found += more
        return bytes(found)

    def _gone(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._said.seek(0)
        said = last(self._said.read().decode("utf-8", "replace"))
        return f"'{self._url}' ended before it answered: {said}."

    def _array(self, spec: TensorSpec, content: bytes) -> Array:
        dtype = np.dtype(spec.dtype)
        if len(content) != math.prod(spec.shape) * dtype.itemsize:
            raise RuntimeFailureError(
                f"'{self._url}' answered {len(content):,} bytes for '{spec.name}', which has "
                f"{list(spec.shape)} values of {spec.dtype}."
            )
        return np.frombuffer(content, dtype).reshape(spec.shape)


def _specs(tensors: Mapping[str, Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(spec_of(name, tensor) for name, tensor in tensors.items())


def spec_of(name: str, tensor: Tensor) -> TensorSpec:
    """Return what a session says of an input or output, from the graph."""
    q = tensor.quantization
    if q is None or not tensor.is_quantized:
        return TensorSpec(name, tensor.shape, tensor.dtype)
    return TensorSpec(name, tensor.shape, tensor.dtype, float(q.scale[0]), int(q.zero_point[0]))
