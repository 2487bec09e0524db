"""Every kind of data gives the files and the numbers of an .npz with the same samples, in every verb."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tightfit
from support.models import conv_net
from tightfit.graph.writer import write_model

COUNT = 40
X = np.random.default_rng(0).standard_normal((COUNT, 16, 16, 3)).astype(np.float32)
Y = np.arange(COUNT) % 5
FEW = {"provenance": False, "calibration": 20}


def py_dataset():
    keras = pytest.importorskip("keras", reason="needs Keras: the extra 'keras'")

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            rows = slice(index * 10, index * 10 + 10)
            return X[rows], Y[rows]

    return Batches()


def data_loader():
    data = pytest.importorskip("torch.utils.data", reason="needs torch: the extra 'torch'")
    torch = pytest.importorskip("torch")
    return data.DataLoader(data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=7)


def torch_dataset():
    data = pytest.importorskip("torch.utils.data", reason="needs torch: the extra 'torch'")
    torch = pytest.importorskip("torch")
    return data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


def tf_data():
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow: the extra 'tensorflow'")
    return tensorflow.data.Dataset.from_tensor_slices((X, Y)).batch(9)


def hugging_face():
    datasets = pytest.importorskip("datasets", reason="needs datasets: the extra 'integrations'")
    columns = datasets.Features(
        {"image": datasets.Array3D((16, 16, 3), "float32"), "label": datasets.Value("int64")}
    )
    return datasets.Dataset.from_dict({"image": list(X), "label": Y.tolist()}, features=columns)


def grain_loader():
    grain = pytest.importorskip("grain", reason="needs grain: the extra 'integrations'")
    return grain.MapDataset.source(list(zip(X, Y, strict=True)))


def grain_batches():
    grain = pytest.importorskip("grain", reason="needs grain: the extra 'integrations'")
    rows = [{"image": x, "label": y} for x, y in zip(X, Y, strict=True)]
    return grain.MapDataset.source(rows).batch(8).to_iter_dataset()


def generator():
    for x, y in zip(X, Y, strict=True):
        yield x, int(y)


KINDS = {
    "pair": lambda: (X, Y),
    "dict": lambda: {"image": X, "label": Y},
    "list": lambda: [(x, int(y)) for x, y in zip(X, Y, strict=True)],
    "generator function": lambda: generator,
    "rows of columns": lambda: [{"image": x, "label": int(y)} for x, y in zip(X, Y, strict=True)],
    "PyDataset": py_dataset,
    "Dataset": lambda: tightfit.Dataset(range(COUNT), lambda i: (X[i], Y[i])),
    "DataLoader": data_loader,
    "torch dataset": torch_dataset,
    "tf.data": tf_data,
    "Hugging Face": hugging_face,
    "grain": grain_loader,
    "grain batches": grain_batches,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    write_model(conv_net(), folder / "net.tflite")
    np.savez(folder / "set.npz", x=X, y=Y)
    small = folder / "int8.tflite"
    tightfit.quantize(folder / "net.tflite", "int8", small, data=(X, Y), doctor=False, effort=0, **FEW)
    return folder


def quantized(place, data, out):
    tightfit.quantize(place / "net.tflite", "int8", out / "a.tflite", data=data, doctor=False, **FEW)
    return (out / "a.tflite").read_bytes()


def optimized(place, data, out):
    report = tightfit.optimize(
        place / "net.tflite", data, out / "opt", only=["int8"], judge="estimate", effort="quick", **FEW
    )
    made = (out / "opt" / "candidates" / "int8.tflite").read_bytes()
    return made, [(c.accuracy, c.drop_interval, c.agreement, c.metrics) for c in report.candidates]


def evaluated(place, data, out):  # noqa: ARG001 - as the other verbs
    found = tightfit.evaluate([place / "net.tflite", place / "int8.tflite"], data).to_dict()
    return json.dumps([{k: v for k, v in m.items() if k != "notes"} for m in found["models"]])


def finetuned(place, data, out):
    pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")
    made = tightfit.finetune(
        place / "net.tflite", data, out / "t.tflite", scheme="int8", epochs=1, batch=8, provenance=False
    )
    return made.path.read_bytes(), made.accuracy.value


def explained(place, data, out):
    found = tightfit.explain(
        place / "net.tflite", place / "int8.tflite", data, out / "best.tflite", calibration=20, evaluation=8
    )
    best = out / "best.tflite"
    return found.overlay, best.read_bytes() if best.exists() else b""


VERBS = (quantized, optimized, evaluated, finetuned, explained)
_EXPECTED = {}


def expected(verb, place, tmp_path):
    """What a verb makes of the .npz, once."""
    if verb not in _EXPECTED:
        folder = tmp_path / "npz"
        folder.mkdir()
        _EXPECTED[verb] = verb(place, str(place / "set.npz"), folder)
    return _EXPECTED[verb]


@pytest.mark.filterwarnings("default")  # of the packages
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_data_is_measured_as_the_npz_is(place, tmp_path, kind):
    assert evaluated(place, KINDS[kind](), tmp_path) == expected(evaluated, place, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the packages
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_file_of_the_npz_in_every_verb(place, tmp_path, kind, verb):
    assert verb(place, KINDS[kind](), tmp_path) == expected(verb, place, tmp_path)
