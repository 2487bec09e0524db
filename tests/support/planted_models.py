"""The demo model and the colour classifier with one op each that int8 spoils and float does not."""

from __future__ import annotations

from support.colour_model import classifier, weights
from tightfit import demo
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.clean import clean
from tightfit.graph.reader import read_model


def loud_channel(loudness=3000.0):
    """The demo model in which one channel of a convolution is loud until a RELU6 behind it clips it.

    Returns:
        the model and the name of the convolution.
    """
    model = read_model(demo.MODEL)
    clean(model)
    graph = model.main
    op = [o for o in graph.ops if o.kind == "CONV_2D" and o.options["fusedActivationFunction"] == 3][2]
    filters, bias = op.inputs[1], op.inputs[2]
    filters.data, bias.data = filters.data.copy(), bias.data.copy()
    filters.data[5] *= loudness
    bias.data[5] *= loudness
    op.options["fusedActivationFunction"] = 0
    clipped = Tensor("clipped", op.outputs[0].shape)
    for reader, position in list(op.outputs[0].consumers):
        graph.set_input(reader, position, clipped)
    graph.insert_after(op, Op("RELU6", [op.outputs[0]], [clipped]))
    return model, op.name


def loud_weight(loudness=3000.0):
    """The colour classifier in which one weight a class is huge, on a hidden unit that is always zero.

    Returns:
        the model and the name of the op with these weights.
    """
    _, b1, w2, _ = (a.copy() for a in weights())
    b1[0], w2[:, 0] = -1000.0, loudness
    return classifier(b1=b1, w2=w2), "scores"
