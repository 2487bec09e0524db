"""Probes: seeded inputs that are the same on every machine, and the outputs for them in a few bytes.

A file contains no sample of the user's data: probes are noise between the limits of the data. The bits come
from PCG64 itself, whose stream NumPy guarantees, unlike that of its distributions.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Tensor
from tightfit.runtime.free_sizes import runnable_inputs
from tightfit.runtime.input_samples import TensorSpec
from tightfit.runtime.session import Session
from tightfit.types import Array

PROBES: Final = 2
Limits = Mapping[str, tuple[float, float]]
"""Input name → the lowest and the highest value that a probe may have."""

THREADS: Final = 2
_UNIT_BITS: Final = 53


@dataclass(frozen=True)
class ProbeAnswer:
    """One recorded output of one probe: a digest of all elements, and some of the values.

    Args:
        dtype: element type.
        shape: shape of the output.
        digest: see ``digest``.
        step: size of a quantization step: the scale of integers, or 2⁻¹⁶ of a float output's range.
        values: evenly spaced elements, the first and the last included; all when they are few.
    """

    dtype: str
    shape: tuple[int, ...]
    digest: str
    step: float
    values: Array

    def as_json(self) -> dict[str, Any]:
        """Return plain values; the array's bytes as base64, little-endian."""
        packed = base64.b64encode(_little(self.values).tobytes()).decode()
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "digest": self.digest,
            "step": self.step,
            "values": packed,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ProbeAnswer:
        """Return the output from plain values.

        Raises:
            KeyError: a field is missing.
            TypeError: a field has another type.
            ValueError: a value is out of range.
        """
        kind = np.dtype(str(plain["dtype"]))
        if kind.kind not in "iufb":
            raise ValueError(f"the type {kind}")
        values = np.frombuffer(base64.b64decode(plain["values"]), kind.newbyteorder("<")).astype(kind)
        shape = tuple(int(n) for n in plain["shape"])
        step = float(plain["step"])
        if values.size > math.prod(shape) or any(n < 0 for n in shape):
            raise ValueError(f"{values.size} values for the shape {shape}")
        if not (math.isfinite(step) and step > 0):
            raise ValueError(f"the step {step}")
        return cls(kind.name, shape, str(plain["digest"]), step, values)


def seeded_inputs(specs: Sequence[TensorSpec], limits: Limits, seed: int) -> dict[str, Array]:
    """Return noise for each input: reals between the limits, quantized integers over their whole range.

    Args:
        specs: the inputs of the model.
        limits: input name → (lowest, highest) value.
        seed: seed of the probe.

    Example:
        >>> spec = TensorSpec("x", (2,), "float32")
        >>> seeded_inputs([spec], {"x": (0.0, 1.0)}, 0)["x"].tolist()
        [0.6369616985321045, 0.2697867155075073]
    """
    bits = np.random.PCG64(seed)
    return {spec.name: _noise(spec, limits.get(spec.name), bits) for spec in specs}


def limits_of(samples: Sequence[Mapping[str, Array]]) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest finite value of each input over some samples, as float32."""
    found: dict[str, tuple[float, float]] = {}
    for sample in samples:
        for name, array in sample.items():
            if array.dtype.kind not in "iufb" or not array.size:
                continue
            finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
            seen = found.get(name, (low, high))
            found[name] = min(low, seen[0]), max(high, seen[1])
    return found


def answers(session: Session, limits: Limits, count: int = PROBES) -> list[dict[str, Array]]:
    """Return the outputs of a session for each probe.

    Raises:
        RuntimeFailureError: LiteRT refuses a probe or crashes.
    """
    inputs = runnable_inputs(session)
    return [session.run(seeded_inputs(inputs, limits, seed)) for seed in range(count)]


def summarize(values: Array, known: float | None, most: int) -> ProbeAnswer:
    """Return an output as a record.

    Args:
        values: the output.
        known: its quantization step; None to derive it from the range.
        most: most values that the record keeps.
    """
    step, flat = _step(values, known), values.reshape(-1)
    return ProbeAnswer(values.dtype.name, values.shape, digest(values), step, flat[places(flat.size, most)])


def places(size: int, most: int) -> Array:
    """Return at most ``most`` evenly spaced positions in 0 … size − 1, the first and the last included.

    Example:
        >>> places(10, 4).tolist(), places(3, 4).tolist()
        ([0, 3, 6, 9], [0, 1, 2])
    """
    count = min(size, most)
    return np.arange(count) * max(size - 1, 0) // max(count - 1, 1)


def digest(values: Array) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of an array's little-endian bytes."""
    return hashlib.sha256(np.ascontiguousarray(_little(values)).tobytes()).hexdigest()[:16]


def output_steps(outputs: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the step of each float output that a DEQUANTIZE writes: the scale of its integers."""
    found = {}
    for name, tensor in outputs.items():
        source = None if tensor.producer is None else tensor.producer.input(0)
        if tensor.producer is not None and tensor.producer.kind == "DEQUANTIZE" and source is not None:
            scale = None if source.quantization is None else source.quantization.scale
            if scale is not None and scale.size == 1 and not source.is_constant:
                found[name] = float(scale[0])
    return found


def _noise(spec: TensorSpec, limits: tuple[float, float] | None, bits: Any) -> Array:
    if spec.dtype == "string":
        return np.full(spec.shape, b"", dtype=object)
    count = math.prod(spec.shape)
    unit: Array = (bits.random_raw(count) >> (64 - _UNIT_BITS)).astype(np.float64) * 2.0**-_UNIT_BITS
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        low, high = limits or (-1.0, 1.0)
        reals: Array = low + (high - low) * unit
        return reals.astype(kind).reshape(spec.shape)
    if kind.kind == "b":
        return np.asarray(unit < 0.5).reshape(spec.shape)
    if spec.scale is not None:
        low, high = float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    else:
        info = np.iinfo(kind)
        low, high = np.clip(limits or (0.0, 0.0), info.min, info.max).tolist()
    integers: Array = low + np.floor(unit * (high - low + 1))
    return integers.astype(kind).reshape(spec.shape)


def _step(values: Array, known: float | None) -> float:
    if values.dtype.kind != "f":
        return 1.0
    if known is not None:
        return known
    finite = values[np.isfinite(values)]
    span = float(finite.max() - finite.min()) if finite.size else 0.0
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    return (span or largest or 1.0) * 2.0**-16


def _little(values: Array) -> Array:
    return values.astype(values.dtype.newbyteorder("<"), copy=False)
