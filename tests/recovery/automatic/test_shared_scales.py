"""Members of a join that reach differently far keep scales of their own; equal ones stay joined."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import NONE, Builder
from tightfit.api.quantize import quantize
from tightfit.graph.writer import write_model
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.automatic.shared_scales import float_joins


def joined(gain):
    """Two dense layers, one of which reaches ``gain`` times as far; joined, parted, each read by its own."""
    b = Builder(seed=5)
    x = b.input("x", [1, 16])
    parts = [b.dense(x, 12, NONE), b.dense(x, 12, NONE)]
    options = {"axis": 1, "fusedActivationFunction": 0}
    both = b.op("CONCATENATION", parts, [1, 24], table="ConcatenationOptions", options=options)
    size = b.constant("size", [1, 12], "int32")
    begins = [b.constant(f"begin{i}", [0, 12 * i], "int32") for i in range(2)]
    again = [b.op("SLICE", [both, begin, size], [1, 12], table="SliceOptions") for begin in begins]
    model = b.model(b.add(*(b.dense(part, 6, NONE) for part in again)))
    _, loud, _, reader = (op for op in model.main.ops if op.kind == "FULLY_CONNECTED")
    loud.inputs[1].data = loud.inputs[1].data * np.float32(gain)
    loud.inputs[2].data = loud.inputs[2].data * np.float32(gain)
    reader.inputs[1].data = reader.inputs[1].data / np.float32(gain)
    return model


def rows():
    return np.random.default_rng(1).uniform(-1, 1, (48, 16)).astype(np.float32)


@pytest.mark.parametrize(("gain", "apart"), [(1.0, False), (40.0, True)])
def test_unequal_members_are_moved_in_float(gain, apart):
    model = joined(gain)
    ranges = Ranges([calibrate(model, ({"x": row[None]} for row in rows())).statistics])
    found = float_joins(model, make_plan(model, "int8", ranges), ranges, "int8")
    assert bool(found) == apart


def test_a_file_gains_by_it_on_a_cpu_alone(tmp_path):
    write_model(joined(200.0), tmp_path / "float.tflite")
    np.savez(tmp_path / "x.npz", x=rows())
    for layout, kept in (("cpu", True), ("npu", False)):
        result = quantize(
            tmp_path / "float.tflite",
            "int8",
            tmp_path / "q.tflite",
            data=str(tmp_path / "x.npz"),
            layout=layout,
        )
        assert any("join or part" in note for note in result.notes) == kept
