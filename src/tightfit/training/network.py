"""``Network``: a float graph as a trainable ``keras.Model`` on any backend."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tightfit.errors import ModelError
from tightfit.graph.ir import Graph, Model, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names, output_names
from tightfit.graph.writer import serialize
from tightfit.quantization.plan import GraphPlan, Plan, plan_from_json
from tightfit.training.equality import check_equality
from tightfit.training.fake_quant.learned_scales import LearnedScales
from tightfit.training.fake_quant.quantization_points import QuantizationPoints, find_points
from tightfit.training.fake_quant.quantizers import ActivationQuantizer
from tightfit.training.graph_program import GraphProgram
from tightfit.training.graph_weights import GraphWeights
from tightfit.training.option_checks import check_ranges
from tightfit.training.transforms.mask_updates import with_mask_updates
from tightfit.training.transforms.weight_transforms import check_order
from tightfit.types import Array


@keras.saving.register_keras_serializable("tightfit")
class Network(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A graph with trainable constants; ``compile``, ``fit``, ``save`` work as for any Keras model.

    Batches may have any size, also for a file of batch size one: an input of shape (1, …) in the file takes
    (batch, …), any other (batch, *shape). One input may be given as an array, several by name. One output is
    returned as an array, several by name; a leading axis of one is removed.

    Args:
        graph: a cleaned float model (``graph.passes.clean.clean``), a graph, the bytes or the path of a file.
        plan: the plan whose fake-quantizers are used in training, or None to train in float.
        transforms: weight transforms, in the order of ``weight_transforms``.
        ranges: range updates: ``learned``, ``average`` or ``fixed`` (``quantizers``).
        frozen: keys of constants that are not trained (``frozen_layers``).
        check: compare the network, without plan and transforms, with LiteRT on random samples.

    Raises:
        ModelError: an op has no lowering, or the network's outputs differ from LiteRT's.
        OptionError: the transforms are in another order, or the ranges are unknown.
    """

    def __init__(
        self,
        graph: Model | Graph | bytes | str | Path,
        plan: Plan | None = None,
        transforms: Sequence[Any] = (),
        *,
        ranges: str = "learned",
        frozen: Iterable[str] = (),
        check: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.source = _as_model(graph)
        self.plan = plan
        self.transforms = check_order(transforms)
        self.ranges = check_ranges(ranges)
        self.frozen = frozenset(frozen)
        main, decisions = self.source.main, None if plan is None else plan.graphs[0]
        self._refuse_other_plan(decisions)
        points = QuantizationPoints() if decisions is None else find_points(main, decisions)
        learned = LearnedScales()
        scales = self.ranges, learned
        self.graph_weights = GraphWeights(self, main, decisions, self.transforms, scales)
        quantizers = {p: ActivationQuantizer(self, p, *scales) for p in points.all()}
        learned.build(self)
        self.program = GraphProgram(main, self.graph_weights, points, quantizers)
        self.input_tensors = input_names(self.source)
        self.output_tensors = output_names(self.source)
        self.built = True
        if check:
            check_equality(self)

    def _refuse_other_plan(self, decisions: GraphPlan | None) -> None:
        if decisions is not None and len(decisions.ops) != len(self.source.main.ops):
            raise ModelError(
                f"The plan has {len(decisions.ops)} ops, the graph {len(self.source.main.ops)}; "
                "make a plan for this model."
            )

    # -- variables -----------------------------------------------------------------------------

    def add_constant(self, name: str, values: Array, *, trainable: bool = True) -> Any:
        """Return a new variable for a constant; frozen ones and those that scale inputs do not train."""
        return self._add(name, values, trainable=trainable and name not in self.frozen)

    def add_state(self, name: str, kind: str, values: Array, *, trainable: bool) -> Any:
        """Return a new float32 variable of a tensor: a range, a mask, centroids.

        Args:
            name: the tensor's key.
            kind: kind of the variable.
            values: initial values.
            trainable: whether it is trained.
        """
        return self._add(f"{name}:{kind}", values, trainable=trainable)

    def _add(self, name: str, values: Array, *, trainable: bool) -> Any:
        array = np.asarray(values, np.float32)
        # Keras allows no slash in a name, torch no point. Grids need float32 in every precision.
        return self.add_weight(
            shape=array.shape, dtype="float32", trainable=trainable, autocast=False,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(array, dtype),  # noqa: ARG005
            name=re.sub(r"\W", "_", name),
        )  # fmt: skip

    # -- running -------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the variables exist already."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of a batch."""
        tensors = list(self.output_tensors.values())
        values = self.tensors(inputs, tensors, training=bool(training))
        return self.named_outputs(values)

    def named_outputs(self, values: Sequence[Any]) -> Any:
        """Return the values of the output tensors as a call does: one alone, several by name."""
        outputs = {n: without_ones(v) for n, v in zip(self.output_tensors, values, strict=True)}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def tensors(
        self, inputs: Any, wanted: Iterable[Tensor], *,
        training: bool = False, rounded: bool = True, kernels: Any = None, dtype: str | None = None,
    ) -> list[Any]:  # fmt: skip
        """Return tensors of the graph for a batch, each with the batch before its own axes.

        Args:
            inputs: a batch, as for a call of the network.
            wanted: tensors of the graph.
            training: whether the network is in training.
            rounded: False computes in float, without fake-quantizers and transforms.
            kernels: ``DeviceKernels`` of this network, to compute in integers as the device does.
            dtype: type to compute in; None for that of the network's policy.
        """
        named = self.named_inputs(inputs)
        given = {t: self.with_sample_axis(t, named[n]) for n, t in self.input_tensors.items()}
        return self.program.run(
            given,
            wanted,
            dtype=dtype or self.compute_dtype,
            training=training,
            rounded=rounded,
            kernels=kernels,
        )

    def named_inputs(self, inputs: Any) -> Mapping[str, Any]:
        """Return the inputs by name.

        Raises:
            ModelError: the names differ from the model's.
        """
        names = list(self.input_tensors)
        if isinstance(inputs, Mapping):
            if set(inputs) == set(names):
                return inputs
            raise ModelError(f"The model takes the inputs {', '.join(names)}; received {', '.join(inputs)}.")
        if isinstance(inputs, list | tuple) and len(inputs) == len(names):
            return dict(zip(names, inputs, strict=True))
        if len(names) == 1:
            return {names[0]: inputs}
        raise ModelError(f"The model takes {len(names)} inputs; give them by name: {', '.join(names)}.")

    def with_sample_axis(self, tensor: Tensor, value: Any) -> Any:
        """Return (batch, …) as (batch, 1, …) for an input that has a batch of one in the file."""
        value = ops.convert_to_tensor(value)
        if tensor.shape[:1] == (1,):
            return ops.reshape(value, (-1, *tensor.shape))
        return value

    def compute_output_shape(self, input_shape: Any) -> Any:  # noqa: ARG002 - Keras' signature
        """Return (None, …) for each output."""
        shapes = {n: (None, *_sample_shape(t)) for n, t in self.output_tensors.items()}
        return shapes if len(shapes) > 1 else next(iter(shapes.values()))

    # -- training ------------------------------------------------------------------------------

    def fit(self, *args: Any, **options: Any) -> Any:
        """Train as any Keras model; masks follow their schedules without a callback."""
        return super().fit(*args, **with_mask_updates(self, options))

    # -- saving --------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of ``from_config``: the file's bytes, the plan, the transforms."""
        return {
            "name": self.name,
            "graph": base64.b85encode(zlib.compress(serialize(self.source), 1)).decode(),
            "plan": None if self.plan is None else self.plan.to_json(),
            "transforms": [keras.saving.serialize_keras_object(t) for t in self.transforms],
            "ranges": self.ranges,
            "frozen": sorted(self.frozen),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Network:
        """Return the network of ``get_config``; its variables start as in the file."""
        config = dict(config)
        graph = zlib.decompress(base64.b85decode(config.pop("graph")))
        plan = config.pop("plan")
        transforms = [
            keras.saving.deserialize_keras_object(t, custom_objects) for t in config.pop("transforms")
        ]
        config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        return cls(graph, None if plan is None else plan_from_json(plan), transforms, check=False, **config)


def _as_model(graph: Model | Graph | bytes | str | Path) -> Model:
    if isinstance(graph, Model):
        return graph
    return Model([graph]) if isinstance(graph, Graph) else read_model(graph)


def _sample_shape(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape


def without_ones(value: Any) -> Any:
    """Return (batch, 1, …) as (batch, …)."""
    if len(value.shape) > 1 and value.shape[1] == 1:
        return ops.reshape(value, (-1, *(int(d) for d in value.shape[2:])))
    return value
