"""A training whose batches workers of Ray Train share: the losses of one process, also past a death."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import NONE, Builder  # noqa: E402 - after the check for Keras
from tightfit.api.finetune import finetune  # noqa: E402 - as above
from tightfit.distributed.options import RayCluster  # noqa: E402 - as above
from tightfit.graph.writer import write_model  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("default")

EPOCHS, BATCH = 3, 8
FIRST_EPOCH, LATER_EPOCHS = 1e-5, 1e-2
"""Relative tolerance of losses: sums differ in their order; rounding to integers makes more of it later."""


def given(folder):
    """A model of two layers, and labelled samples."""
    b = Builder()
    y = b.conv(b.input("image", [1, 4, 4, 24]), 48, kernel=1, activation=NONE)
    write_model(b.model(b.softmax(b.dense(b.mean(y), 24))), folder / "model.tflite")
    x = np.random.default_rng(0).standard_normal((96, 4, 4, 24)).astype(np.float32)
    np.savez(folder / "set.npz", x=x, y=np.arange(96) % 16)
    return folder / "model.tflite", f"{folder / 'set.npz'}:x,y"


def trained(folder, name, **options):
    model, data = given(folder)
    return finetune(model, data, folder / name, scheme="int8", epochs=EPOCHS, batch=BATCH, **options)


def losses(result):
    return [[row["loss"], row["val_loss"]] for row in result.history]


def check_curve(one, other):
    assert [row["epoch"] for row in one.history] == [row["epoch"] for row in other.history] == [0, 1, 2]
    np.testing.assert_allclose(losses(one)[0], losses(other)[0], rtol=FIRST_EPOCH)
    np.testing.assert_allclose(losses(one), losses(other), rtol=LATER_EPOCHS)


def test_two_workers_of_which_one_dies_have_the_loss_curve_of_one_process(raylets, tmp_path):
    killed = []

    def kill(stage, step, steps, metrics):
        del stage, step, steps
        if metrics.get("epoch", 0) >= 2 and not killed:
            assert (tmp_path / "there.tflite.checkpoint").is_file()
            killed.extend(pid for pid, (_, words) in raylets.processes().items() if "RayTrainWorker" in words)
            os.kill(killed[-1], signal.SIGKILL)

    cluster = RayCluster(raylets.address, workers=2)
    there = trained(tmp_path, "there.tflite", cluster=cluster, listener=kill)
    assert len(killed) == 2
    check_curve(trained(tmp_path, "alone.tflite"), there)
    assert there.path.is_file()
    assert not (tmp_path / "there.tflite.checkpoint").exists()
