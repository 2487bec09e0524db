"""A model's inputs, as data must fit them."""

from __future__ import annotations

from tightfit.conversion.held_models import label_of
from tightfit.conversion.open_model import open_model
from tightfit.data.sample import InputSpec
from tightfit.errors import ModelError
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names, output_names
from tightfit.kinds import ModelLike


def model_inputs(path: ModelLike) -> list[InputSpec]:
    """Return the inputs of a model as the data must fit them; integer inputs are fed from reals.

    Raises:
        ModelError: the file cannot be read, or has no input.
    """
    found = open_model(path)
    return inputs_of(read_model(found), found)


def outputs_of(model: Model) -> list[str]:
    """Return the names of a model's outputs, which labels may have."""
    return list(output_names(model))


def inputs_of(model: Model, path: ModelLike) -> list[InputSpec]:
    """Return the inputs of a model that was read from a path; see ``model_inputs``."""
    named = input_names(model)
    if not named:
        raise ModelError(f"'{label_of(path)}' has no input, so no data can be run through it.")
    specs = []
    for name, tensor in named.items():
        q = tensor.quantization if tensor.is_quantized else None
        scale = None if q is None else float(q.scale[0])
        zero_point = None if q is None else int(q.zero_point[0])
        specs.append(InputSpec(name, tensor.shape_signature or tensor.shape, tensor.dtype, scale, zero_point))
    return specs
