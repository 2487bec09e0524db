"""Constants that normalize an input stay as they are in a training."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import Builder, conv_net
from support.sensor_models import sensor_model
from tightfit.training.fixed_constants import normalizing_ops
from tightfit.training.network import Network


def test_means_and_deviations_of_an_input_are_not_trained():
    network = Network(sensor_model(normalized=True))
    names = [v.name for v in network.trainable_variables]
    assert not {"mean", "scale"} & set(names)
    assert len(names) == len(Network(sensor_model()).trainable_variables)


def test_constants_behind_the_first_layer_are_trained():
    b = Builder()
    y = b.dense(b.input("x", [1, 4]), 4)
    y = b.op("MUL", [y, b.constant("gain", np.float32([1, 2, 3, 4]))], [1, 4], table="MulOptions")
    model = b.model(y)
    assert not normalizing_ops(model.main)
    assert "gain" in [v.name for v in Network(model).trainable_variables]
    assert not normalizing_ops(conv_net().main)
