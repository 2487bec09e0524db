"""The zoo's table, samples and judgement; its smallest models run where they were fetched."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import zoo
from tightfit.data.sample import InputSpec
from zoo_models import fetch, zoo_models
from zoo_samples import RANGES, make_samples

CACHE = os.environ.get("TIGHTFIT_ZOO")


def test_the_table_names_at_least_36_models_each_with_a_hash():
    models = zoo_models()
    assert len(models) >= 36
    assert max(Counter(m.name for m in models).values()) == 1
    assert all(len(m.sha256) == 64 and "==" in m.source + "==" * ("pip:" not in m.source) for m in models)


def test_the_tasks_cover_images_sound_text_and_state():
    tasks = " ".join(m.task for m in zoo_models())
    wanted = ("classification", "detection", "segmentation", "pose", "face", "keyword", "wake word", "audio")
    assert [t for t in (*wanted, "state", "text", "time series", "anomaly", "ONNX") if t not in tasks] == []


def test_a_file_with_another_hash_is_refused(tmp_path):
    first = next(m for m in zoo_models() if m.source == "tightfit")
    damaged = type(first)(**{**vars(first), "sha256": "0" * 64})
    with pytest.raises(OSError, match="another hash"):
        fetch(damaged, tmp_path)


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        ({"bytes": 100, "snr_db": 40.0, "left_in_float": {}}, 0),
        ({"bytes": 102, "snr_db": 40.0, "left_in_float": {}}, 1),
        ({"bytes": 100, "snr_db": 39.0, "left_in_float": {}}, 1),
        ({"bytes": 100, "snr_db": 40.0, "left_in_float": {"SOFTMAX": 1}}, 1),
        ({"refused": "no kernel"}, 1),
    ],
)
def test_what_got_worse_is_found(now, lost):
    golden = {"bytes": 100, "snr_db": 40.0, "left_in_float": {}}
    assert len(zoo.worse(now, golden)) == lost


@pytest.mark.parametrize("kind", ["image01", "image255", "features", "audio", "bytes"])
def test_samples_have_the_shape_and_the_range_of_their_kind(kind):
    made = make_samples(kind, [InputSpec("x", (1, 16, 12, 3), "float32")], 3)["x"]
    assert made.shape == (3, 16, 12, 3)
    low, high = {"audio": (-1, 1), "bytes": (0, 255), **RANGES}[kind]
    assert low <= made.min() < made.max() <= high
    assert np.std(made) > 0.05 * (made.max() - made.min())


@pytest.mark.slow
@pytest.mark.parametrize("name", [m.name for m in zoo_models() if m.size < 100_000])
def test_every_scheme_of_a_small_model_is_no_worse_than_its_golden(name):
    model = next(m for m in zoo_models() if m.name == name)
    if CACHE is None and model.source not in ("tightfit", "shared"):
        pytest.skip("needs the fetched models: TIGHTFIT_ZOO names the cache of 'make zoo'")
    rows = zoo.measure(model, fetch(model, Path(CACHE or ".")), None)
    goldens = zoo.read_goldens().get(name, {})
    lost = [f"{s}: {why}" for s, f in rows.items() for why in zoo.worse(f, goldens.get(s, f))]
    assert lost == []
    assert set(zoo.SCHEMES) <= set(rows)
