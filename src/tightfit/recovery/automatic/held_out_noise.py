"""How much of the outputs a quantized model loses on calibration samples that taught nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.errors import TightfitError
from tightfit.graph.ir import Model
from tightfit.graph.signatures import output_names
from tightfit.graph.temporary_files import temporary_file
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.calibration.calibrate import Probe
from tightfit.quantization.layouts import lay_out
from tightfit.quantization.plan import Plan
from tightfit.recovery.output_noise import LOST
from tightfit.runtime.input_samples import TensorSpec
from tightfit.runtime.parallel import cores
from tightfit.runtime.session import Session
from tightfit.types import Array

_QUIET = 1e-3
"""A sample's power counts as at least this share of the mean power of all samples."""


class HeldOutNoise:
    """Runs files on samples whose float outputs are known.

    Args:
        model: the float model. probes: samples with its outputs, by tensor key.

    Attributes:
        inputs: the samples. wanted: output name → the float model's outputs, one a sample.
    """

    def __init__(self, model: Model, probes: Sequence[Probe]) -> None:
        keys = model.main.keys()
        self.inputs = [inputs for inputs, _ in probes]
        self.wanted: dict[str, list[Array]] = {
            name: [outputs[keys[tensor]] for _, outputs in probes]
            for name, tensor in output_names(model).items()
            if all(keys[tensor] in outputs for _, outputs in probes) and tensor.dtype == "float32"
        }

    @property
    def is_measurable(self) -> bool:
        """Whether there is a sample and a real output."""
        return bool(self.inputs) and bool(self.wanted)

    def of_plan(self, model: Model, plan: Plan) -> float:
        """Return the noise of a plan's file, in the form that is fastest here; infinite where none runs."""
        try:
            made = apply_plan(model, plan)
            lay_out(made, ("float_islands", "bridge_through_float"))
            return self.of_model(made)
        except TightfitError:
            return math.inf

    def of_model(self, model: Model) -> float:
        """Return ``mean over outputs and samples of |y − ŷ|² / |y|²``, each at most 4.

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
                    _share(wanted[i], _real(results[name], specs[name]), _least(wanted))
                    for name, wanted in self.wanted.items()
                ]
                for i, results in enumerate(session.run_many(fitted))
            ]
        return float(np.mean(shares))


def _share(wanted: Array, got: Array, least: float) -> float:
    share = float(np.square(wanted - got, dtype=np.float64).sum()) / max(_power(wanted), least, 1e-30)
    return min(share, LOST) if math.isfinite(share) else LOST


def _power(values: Array) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _least(wanted: Sequence[Array]) -> float:
    return _QUIET * sum(map(_power, wanted)) / len(wanted)


def _real(values: Array, spec: TensorSpec) -> Array:
    if spec.scale is None or values.dtype.kind == "f":
        return values
    return np.asarray(dequantize(values, spec.scale, spec.zero_point or 0), np.float32)
