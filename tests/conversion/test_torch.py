from __future__ import annotations

import json
import zipfile
from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="needs torch: the extra 'torch'")
pytest.importorskip("litert_torch", reason="needs litert-torch: the extra 'torch'")

from tightfit.conversion.conversion_options import ConversionOptions  # noqa: E402 - after the skip
from tightfit.conversion.load_model import load  # noqa: E402 - after the skip
from tightfit.conversion.torch_programs import torch_loops  # noqa: E402 - after the skip
from tightfit.conversion.torch_programs.torch_export import check_program, doubtful_text  # noqa: E402 - after the skip
from tightfit.conversion.torch_programs.torch_rewrites import without_crops  # noqa: E402 - after the skip
from tightfit.errors import ModelError  # noqa: E402 - after the skip


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.nn.functional.gelu(self.stem(x)).mean((2, 3)))


@pytest.mark.parametrize(("kernel", "padding", "extra"), [(3, 1, 1), (3, 1, 0)])
def test_a_transposed_convolution_that_litert_torch_refuses_crops_apart(kernel, padding, extra):
    layer = torch.nn.ConvTranspose2d(3, 4, kernel, 2, padding, extra).eval()
    result = load((layer, (torch.rand(1, 3, 5, 5),)))
    assert "TRANSPOSE_CONV" in {op.kind for op in result.model.main.ops}
    assert result.largest_difference < 1e-5


def test_padding_at_the_end_of_a_transposed_convolution_has_the_bias_alone():
    layer = torch.nn.ConvTranspose2d(3, 4, 3, 3, 0, 2).eval()
    module = without_crops(layer, (torch.rand(1, 3, 5, 5),))
    x = torch.rand(1, 3, 5, 5)
    assert torch.allclose(module(x), layer(x), atol=1e-6)


class Two(torch.nn.Module):
    def forward(self, x):
        return {"double": x * 2, "half": x / 2}


def test_outputs_in_a_mapping_keep_their_names():
    result = load((Two().eval(), (torch.rand(1, 4),)))
    assert {d.output for d in result.differences} == {"double", "half"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "net.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(1, 3, 8, 8),)), path)
    return path


def changed(program, path, change):
    """A copy of the program with its tables changed as text."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data.decode()) if name.endswith(".json") else data)
    return path


def test_a_program_keeps_its_channels_first(program):
    result = load(program)
    assert Counter(op.kind for op in result.model.main.ops)["CONV_2D"] == 1
    assert result.model.main.inputs[0].shape == (1, 3, 8, 8)
    assert result.largest_difference < 1e-5


def test_a_module_takes_channels_last_on_request():
    result = load(Net(), options=ConversionOptions(shapes={"": (1, 3, 8, 8)}, channel_last=True))
    kinds = Counter(op.kind for op in result.model.main.ops)
    assert kinds == {"CONV_2D": 1, "GELU": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    assert result.model.main.inputs[0].shape == (1, 8, 8, 3)
    assert "stem" in result.model.main.ops[0].name


def test_a_module_without_a_shape_is_asked_for_one():
    with pytest.raises(ModelError, match=r"torch module Net .* input_shape=\(1, 3, 224, 224\)"):
        load(Net())


def test_a_program_of_torchs_own_operators_passes(program):
    assert doubtful_text(program) is None


def test_an_operator_that_is_not_torchs_own_is_refused(program, tmp_path):
    path = changed(
        program, tmp_path / "evil.pt2", lambda t: t.replace("torch.ops.aten.gelu.default", "torch.os.system")
    )
    with pytest.raises(ModelError, match=r"names 'torch.os.system', which could run code"):
        load(path)


@pytest.mark.parametrize("text", ["__import__('os')", "exec(s0)", "s0.x"])
def test_an_expression_that_is_no_arithmetic_is_refused(tmp_path, text):
    path = tmp_path / "evil.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/models/model.json", json.dumps({"sizes": [{"expr_str": text}]}))
    with pytest.raises(ModelError, match="could run code"):
        check_program(path)


def test_plain_expressions_pass(tmp_path):
    path = tmp_path / "fine.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.json", json.dumps({"expr_str": "Max(1, FloorDiv(s0 + 2, 2))"}))
    assert doubtful_text(path) is None


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_damaged_programs_are_refused(tmp_path, content):
    path = tmp_path / "damaged.pt2"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"'damaged.pt2' is not a torch.export archive"):
        load(path)


class Recurrent(torch.nn.Module):
    def __init__(self, returned: int, **options: object) -> None:
        super().__init__()
        self.layer = torch.nn.LSTM(3, 4, **options)
        self.returned = returned

    def forward(self, x):
        y, states = self.layer(x)
        return (y, *states)[self.returned]


@pytest.mark.parametrize(
    ("returned", "options", "count"),
    [
        (0, {"batch_first": True}, 1),
        (1, {"num_layers": 2, "bidirectional": True, "bias": False}, 4),
        (2, {}, 0),
        (0, {"proj_size": 2}, 0),
    ],
)
def test_an_lstm_is_one_op_for_each_layer_and_direction_where_it_computes_the_same(returned, options, count):
    result = load((Recurrent(returned, **options), (torch.zeros(1, 5, 3),)))
    kinds = [op.kind for op in result.model.main.ops]
    assert kinds.count("UNIDIRECTIONAL_SEQUENCE_LSTM") == count
    assert result.largest_difference < 1e-5


class Gated(torch.nn.Module):
    def __init__(self, given: bool, **options: object) -> None:
        super().__init__()
        self.layer = torch.nn.GRU(3, 4, **options)
        self.given = given

    def forward(self, x):
        y, last = self.layer(x, x[:2, :, :1].expand(-1, -1, 4) if self.given else None)
        return y, last


@pytest.mark.parametrize(
    ("given", "options", "count"),
    [
        (False, {"batch_first": True}, 1),
        (False, {"num_layers": 2, "bidirectional": True, "bias": False}, 4),
        (True, {"bidirectional": True}, 2),
    ],
)
def test_a_long_gru_is_a_loop_for_each_layer_and_direction(given, options, count, monkeypatch):
    monkeypatch.setattr(torch_loops, "LOOP_FROM", 4)
    shape = (1, 6, 3) if options.get("batch_first") else (6, 1, 3)
    torch.manual_seed(0)
    result = load((Gated(given, **options), (torch.zeros(shape),)))
    assert [op.kind for op in result.model.main.ops].count("WHILE") == count
    assert result.largest_difference < 1e-5
