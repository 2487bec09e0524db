"""How much of the outputs a quantized model loses on calibration samples that taught nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.errors import TightfitError
from tightfit.graph.format.temporary_files import temporary_file
from tightfit.graph.ir import Model
from tightfit.graph.signatures import output_names
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.calibration.calibrate import Probe
from tightfit.quantization.layouts import lay_out
from tightfit.quantization.plan import Plan
from tightfit.recovery.output_noise import LOST
from tightfit.runtime.child.process import cores
from tightfit.runtime.input_samples import TensorSpec
from tightfit.runtime.session import Session
from tightfit.types import Array

_QUIET: Final = 1e-3
"""A sample's power counts as at least this share of the mean power of all samples."""

_FLAT: Final = 0.01
"""A channel's variance counts as at least this share of the mean variance of all channels."""

_MAPS: Final = 3.0
"""A map of channels may lose this many times what another output may."""

POSITIONS: Final = 16
"""From so many positions on, an output is a map of channels."""


class HeldOutNoise:
    """Runs files on samples whose float outputs are known.

    Args:
        model: the float model.
        probes: samples with its outputs, by tensor key.

    Attributes:
        inputs: the samples.
        wanted: output name → the float model's outputs, one a sample.
        scales: output name → what its errors are divided by.
    """

    def __init__(self, model: Model, probes: Sequence[Probe]) -> None:
        keys = model.main.keys()
        self.inputs = [inputs for inputs, _ in probes]
        self.wanted: dict[str, list[Array]] = {
            name: [outputs[keys[tensor]] for _, outputs in probes]
            for name, tensor in output_names(model).items()
            if all(keys[tensor] in outputs for _, outputs in probes) and tensor.dtype == "float32"
        }

        self.scales = {name: OutputScale(wanted) for name, wanted in self.wanted.items()}

    @property
    def is_measurable(self) -> bool:
        """Whether there is a sample and a real output."""
        return bool(self.inputs) and bool(self.wanted)

    def allowed(self, noise: float) -> float:
        """Return what may be lost where ``noise`` may be of outputs that are no maps.

        What a channel varies is less than its power, and channels that hardly vary count like others.
        """
        return noise * (_MAPS if any(scale.is_map for scale in self.scales.values()) else 1.0)

    def of_plan(self, model: Model, plan: Plan) -> float:
        """Return the noise of a plan's file, in the form that is fastest here; infinite where none runs."""
        try:
            made = apply_plan(model, plan)
            lay_out(made, ("float_islands", "bridge_through_float"))
            return self.of_model(made)
        except TightfitError:
            return math.inf

    def of_model(self, model: Model) -> float:
        """Return the mean over outputs and samples of ``OutputScale.share``.

        Raises:
            RuntimeFailureError: LiteRT does not run the model.
        """
        with (
            temporary_file(model) as path,
            Session(path, threads=min(cores(), 2), shared=True) as session,
        ):
            specs = {spec.name: spec for spec in session.outputs}
            fitted = (adapt_inputs(Sample(dict(inputs)), session.inputs) for inputs in self.inputs)
            shares = [
                [
                    self.scales[name].share(wanted[i], _real(results[name], specs[name]))
                    for name, wanted in self.wanted.items()
                ]
                for i, results in enumerate(session.run_many(fitted))
            ]
        return float(np.mean(shares))


class OutputScale:
    """What the errors of one output are divided by.

    The channels of a map say different things, often in different units (offsets, sizes and scores of boxes),
    so each counts by its own: an error is divided by what the channel varies. An output of few positions is
    one thing, a vector of scores or an embedding: its error is divided by its power, in each sample.

    Args:
        wanted: the float model's outputs, one a sample.
    """

    def __init__(self, wanted: Sequence[Array]) -> None:
        first = wanted[0]
        channels = first.shape[-1] if first.ndim else 1
        self.is_map = first.ndim > 2 and first.size >= POSITIONS * channels and channels > 1
        if self.is_map:
            rows = np.concatenate([w.reshape(-1, channels) for w in wanted]).astype(np.float64)
            variances = rows.var(axis=0)
            self.least = np.maximum(variances, max(float(variances.mean()) * _FLAT, 1e-30))
        else:
            self.least = np.asarray(max(_QUIET * sum(map(_power, wanted)) / len(wanted), 1e-30))

    def share(self, wanted: Array, got: Array) -> float:
        """Return the noise of one sample as a share of what it is divided by, at most 4."""
        if self.is_map:
            errors = np.square(wanted - got, dtype=np.float64).reshape(-1, wanted.shape[-1]).mean(axis=0)
            share = float(np.minimum(errors / self.least, LOST).mean())
        else:
            share = float(np.square(wanted - got, dtype=np.float64).sum()) / max(
                _power(wanted), float(self.least)
            )
        return min(share, LOST) if math.isfinite(share) else LOST


def _power(values: Array) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _real(values: Array, spec: TensorSpec) -> Array:
    if spec.scale is None or values.dtype.kind == "f":
        return values
    return np.asarray(dequantize(values, spec.scale, spec.zero_point or 0), np.float32)
