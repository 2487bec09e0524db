"""The interface of a file: names of inputs, outputs and ops, and inputs that take bytes."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.constant_folding import kept_tensors

_TRACE: Final = re.compile(r"^(jit\([^)]*\)|main|StatefulPartitionedCall)/")
_WEIGHTED: Final = re.compile(
    r"/(conv_general_dilated|dot_general|Conv2D|MatMul|depthwise|BiasAdd|convolution|addmm|linear)\d*$"
)


def name_tensors(model: Model) -> None:
    """Give inputs and outputs their signature's names, and ops the name of the layer that they came from."""
    for graph in model.graphs:
        for tensor in graph.tensors():
            tensor.name = plain_name(tensor.name, constant=tensor.is_constant)
    for signature in model.signatures:
        for name, tensor in (*signature.outputs.items(), *signature.inputs.items()):
            tensor.name = name


def make_names_unique(model: Model) -> None:
    """Number the tensors of a graph that share a name; inputs, outputs and results of ops keep theirs.

    litert-quantizer and other tools refuse files with doubled names.
    """
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        rest = sorted((t for t in graph.tensors() if t not in kept), key=lambda t: t.is_constant)
        taken = {t.name for t in kept}
        counts: dict[str, int] = {}
        for tensor in rest:
            name = tensor.name
            while tensor.name in taken:
                counts[name] = counts.get(name, 1) + 1
                tensor.name = f"{name}_{counts[name]}"
            taken.add(tensor.name)


def plain_name(name: str, *, constant: bool = False) -> str:
    """Return the layer's part of a name that a converter fused of several, without the tracer's prefix.

    A layer with weights gives its op its own name; other ops keep the name of the operation too.

    Example:
        >>> plain_name("min;max;jit(f)/bn_Conv1/mul;jit(f)/Conv1/conv_general_dilated")
        'Conv1'
    """
    parts = name.split(";")
    heavy = [part for part in parts if _WEIGHTED.search(part)]
    named = heavy or [part for part in parts if "/" in part] or parts
    plain = _TRACE.sub("", _attributes(named[-1])) or name
    return _WEIGHTED.sub("", plain) if heavy and not constant else plain


def _attributes(name: str) -> str:
    """The attributes of a torch module's path, whose names litert-torch writes with their classes.

    Example:
        >>> _attributes("nets.Net/nets.Block_body/torch.nn.modules.conv.Conv2d_stem")
        'body/stem'
    """
    if "torch.nn." not in name:
        return name
    own = (segment.rpartition(".")[2].partition("_")[2] for segment in name.split("/"))
    return "/".join(part for part in own if part) or name


def take_bytes(model: Model, mean: float, std: float) -> list[str]:
    """Makes image inputs uint8: the graph computes ``(x - mean) / std`` of the bytes itself.

    Condition: the input is float32 and has three or four dimensions.
    """
    done = []
    for graph in model.graphs:
        for position, tensor in enumerate(list(graph.inputs)):
            if tensor.dtype == "float32" and len(tensor.shape) in (3, 4):
                given = _bytes_before(graph, tensor, mean, std)
                graph.inputs[position] = given
                for signature in model.signatures:
                    signature.inputs = {n: given if t is tensor else t for n, t in signature.inputs.items()}
                done.append(given.name)
    return [f"The input '{name}' takes bytes; (x − {mean:g}) / {std:g} is in the file." for name in done]


def _bytes_before(graph: Graph, tensor: Tensor, mean: float, std: float) -> Tensor:
    """Puts CAST, SUB and MUL before all readers of an input; gives the new input."""
    signature = tensor.shape_signature
    given = Tensor(tensor.name, tensor.shape, "uint8", shape_signature=signature)
    reals = Tensor(f"{tensor.name}/cast", tensor.shape, shape_signature=signature)
    centred = Tensor(f"{tensor.name}/centred", tensor.shape, shape_signature=signature)
    tensor.name = f"{tensor.name}/scaled"
    options = {"inDataType": 3, "outDataType": 0}
    constants = [
        Tensor(f"{given.name}/{name}", (), data=np.asarray(value, np.float32))
        for name, value in (("mean", mean), ("scale", 1 / std))
    ]
    graph.insert(0, Op("CAST", [given], [reals], options, "CastOptions"))
    graph.insert(1, Op("SUB", [reals, constants[0]], [centred], {}, "SubOptions"))
    graph.insert(2, Op("MUL", [centred, constants[1]], [tensor], {}, "MulOptions"))
    return given
