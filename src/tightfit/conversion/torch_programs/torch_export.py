"""Torch modules and ``.pt2`` programs through ``litert-torch``.

A ``.pt2`` is a program as data; the checks below keep the parts that would run code (pickled constants,
symbolic expressions, operator names) from doing so. ``.pt`` and ``.pth`` are pickles and are refused.
"""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import litert_torch
import numpy as np
import torch

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.exporting import Exported, ExportProbe, first_line
from tightfit.conversion.stablehlo.converter_process import refusal
from tightfit.conversion.torch_programs.torch_recurrent import with_whole_layers
from tightfit.conversion.torch_programs.torch_rewrites import without_crops
from tightfit.errors import ModelError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize

_ROUTE: Final = "torch.export, litert-torch"
_TARGET: Final = re.compile(
    r"torch\.ops\.(aten|prims|higher_order|quantized_decomposed|torchvision)\.[\w.]+"
    r"|_operator\.\w+|math\.\w+|torch\.(_sym|sym)_\w+"
)
_EXPRESSION: Final = re.compile(r"(?!.*__)[\w\s+\-*/%(),<>=]*")
_FUNCTIONS: Final = frozenset(
    ["Max", "Min", "Mod", "FloorDiv", "CeilDiv", "CleanDiv", "PythonMod", "ModularIndexing", "Where",
     "IntTrueDiv", "FloatTrueDiv", "ToFloat", "PowByNatural", "FloatPow", "TruncToInt", "TruncToFloat",
     "RoundToInt", "FloorToInt", "CeilToInt", "Identity", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or",
     "Not", "Integer", "Symbol"]
)  # fmt: skip


def export(source: Any, options: ConversionOptions) -> Exported:
    """Return the float ``.tflite`` of a module, an exported program or a ``.pt2`` file.

    Raises:
        ModelError: the file would run code, an input's shape is not known, or litert-torch refuses an op.
    """
    if isinstance(source, Path):
        source = load_program(source, trust=options.trust)
    module: Any
    if isinstance(source, torch.export.ExportedProgram):
        module, samples = source.module(), _samples_of(source)
    elif isinstance(source, tuple):
        module, samples = source[0].eval(), tuple(source[1])
    elif isinstance(source, torch.nn.Module):
        module, samples = source.eval(), _random_inputs(source, options)
    else:
        raise ModelError(
            f"Received a {type(source).__name__}; expected a torch.nn.Module or a torch.export program."
        )
    if options.channel_last:
        images = [i for i, s in enumerate(samples) if s.ndim >= 3]
        samples = tuple(_channel_last(s) if i in images else s for i, s in enumerate(samples))
        module = litert_torch.to_channel_last_io(module, args=images)
    fuses = options.recurrent == "fused"
    return _convert(module, samples, fuses=fuses, loops=fuses and options.batch is not None)


def export_keras(call: Any, options: ConversionOptions) -> Exported:
    """Return the float ``.tflite`` of a Keras model on the torch backend."""
    del options

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = call.model

        def forward(self, *arrays: Any) -> tuple[Any, ...]:
            return tuple(call.flat(*arrays))

    samples = tuple(_sample(shape, dtype, 0) for shape, dtype in call.inputs.values())
    exported = _convert(Holder().eval(), samples, call.names, call.outputs)
    exported.route = f"Keras on torch, {_ROUTE}"
    return exported


def load_program(path: Path, *, trust: bool) -> Any:
    """Return the program of a ``.pt2`` file.

    Raises:
        ModelError: it is damaged, or names code and ``trust`` is false.
    """
    if not trust:
        check_program(path)
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # else torch falls back to unpickling
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:
        raise ModelError(
            f"torch {torch.__version__} cannot load '{path.name}': {first_line(error)} Save it again with "
            "torch.export.save."
        ) from error


def check_program(path: Path) -> None:
    """Refuses a ``.pt2`` whose operators or expressions are not torch's own.

    Raises:
        ModelError: it is no archive, or names something else.
    """
    found = doubtful_text(path)
    if found is not None:
        raise ModelError(
            f"'{path.name}' names '{found[:80]}', which could run code. Pass --trust if you "
            "trust where it comes from."
        )


def doubtful_text(path: Path) -> str | None:
    """Return the first operator or expression of a ``.pt2`` that is not torch's own; None without any.

    Raises:
        ModelError: it is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            tables = [json.loads(archive.read(n)) for n in archive.namelist() if n.endswith(".json")]
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ModelError(f"'{path.name}' is not a torch.export archive ({error}).") from error
    for key, text in (pair for table in tables for pair in _texts(table)):
        if (key == "target" and not _TARGET.fullmatch(text)) or (key == "expr_str" and not _is_plain(text)):
            return text
    return None


def _is_plain(expression: str) -> bool:
    called = re.findall(r"(\w+)\s*\(", expression)
    return _EXPRESSION.fullmatch(expression) is not None and _FUNCTIONS.issuperset(called)


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """The operator names and expressions of a program; the ``target`` of a parameter is its own name."""
    if isinstance(value, dict):
        is_node = {"target", "inputs", "outputs"} <= value.keys()
        for key, item in value.items():
            if isinstance(item, str) and (key == "expr_str" or (key == "target" and is_node)):
                yield key, item
            else:
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


# -- conversion ------------------------------------------------------------------------------------


def _convert(
    module: Any,
    samples: tuple[Any, ...],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    *,
    fuses: bool = False,
    loops: bool = False,
) -> Exported:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = (_fused(module, samples, loops=loops) if fuses else None) or _converted(module, samples)
    names = list(inputs) or [f"args_{i}" for i in range(len(samples))]
    probes = []
    for seed in range(2):
        arrays = [_sample(tuple(s.shape), str(s.dtype).removeprefix("torch."), seed) for s in samples]
        with torch.no_grad():
            answer = module(*arrays)
        results, own_names = _leaves(answer), _names(answer)
        given = list(outputs) or own_names or [f"output_{i}" for i in range(len(results))]
        probes.append(
            ExportProbe(
                {n: a.numpy() for n, a in zip(names, arrays, strict=True)},
                {n: r.detach().numpy() for n, r in zip(given, results, strict=True)},
            )
        )
    return Exported(_renamed(data, inputs, outputs) if inputs else data, probes, _ROUTE)


def _fused(module: Any, samples: tuple[Any, ...], *, loops: bool) -> bytes | None:
    """What litert-torch writes with LSTMs as one op each and GRUs as loops; None where there are none."""
    try:
        fused = with_whole_layers(module, samples, loops=loops)
        return None if fused is None else _content(fused, samples)
    except Exception:  # noqa: BLE001 - the LSTM is then written out, and a refusal names the user's module
        return None


def _converted(module: Any, samples: tuple[Any, ...]) -> bytes:
    """What litert-torch writes; of a module that it refuses, with transposed convolutions that crop apart."""
    try:
        return _content(module, samples)
    except Exception as error:
        try:
            apart = without_crops(module, samples)
            if apart is not None:
                return _content(apart, samples)
        except Exception as other:  # noqa: BLE001 - the first refusal is of the user's own module
            error.add_note(first_line(other))
        raise ModelError(
            f"litert-torch cannot convert the module: {_reason(error)} Replace that part, or export the "
            "module with torch.onnx.export and convert the .onnx file."
        ) from error


def _content(module: Any, samples: tuple[Any, ...]) -> bytes:
    content: bytes = litert_torch.convert(module, samples).model_content()
    return content


def _names(answer: Any) -> list[str]:
    """The keys of a mapping of tensors: litert-torch names the outputs by them."""
    if isinstance(answer, dict) and all(isinstance(value, torch.Tensor) for value in answer.values()):
        return [str(key) for key in answer]
    return []


def _renamed(data: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The file with names of the signature: litert-torch calls them args_0, output_0 and so on."""
    model = read_model(data)
    for signature in model.signatures:
        for side, names, prefix in (
            (signature.inputs, inputs, "args_"),
            (signature.outputs, outputs, "output_"),
        ):
            tensors = [side.pop(f"{prefix}{i}") for i in range(len(names))]
            side.update(zip(names, tensors, strict=True))
    return serialize(model)


def _leaves(result: Any) -> list[Any]:
    if isinstance(result, dict):
        return [leaf for value in result.values() for leaf in _leaves(value)]
    if isinstance(result, list | tuple):
        return [leaf for value in result for leaf in _leaves(value)]
    return [result]


def _samples_of(program: Any) -> tuple[Any, ...]:
    if program.example_inputs is None or program.example_inputs[1]:
        raise ModelError("The program has no positional example inputs; export it with them.")
    return tuple(program.example_inputs[0])


def _random_inputs(module: Any, options: ConversionOptions) -> tuple[Any, ...]:
    """Inputs of the shapes that the user gave, or that the module's ``example_inputs`` have."""
    own = getattr(module, "example_inputs", None)
    if not options.shapes and own is not None:
        return tuple(own)
    if not options.shapes:
        raise ModelError(
            f"The torch module {type(module).__name__} has no shape of its input; pass "
            "--input-shape 1,3,224,224 (again for each input), give it an attribute example_inputs, or pass "
            "(module, example inputs)."
        )
    return tuple(_sample(shape, "float32", 0) for shape in options.shapes.values())


def _sample(shape: Sequence[int | None], dtype: str, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    sizes = [1 if d is None else d for d in shape]
    if dtype.startswith(("float", "bfloat")):
        return torch.from_numpy(generator.uniform(-1, 1, sizes).astype(np.float32)).to(getattr(torch, dtype))
    return torch.from_numpy(generator.integers(0, 2, sizes)).to(getattr(torch, dtype))


def _channel_last(sample: Any) -> Any:
    return sample.permute(0, *range(2, sample.ndim), 1).contiguous()


def _reason(error: Exception) -> str:
    if "failed to legalize operation" in str(error):
        return refusal(error).partition(";")[0] + "."
    ops = re.findall(r"(aten\.[\w.]+|torch\.ops\.[\w.]+)", str(error))
    named = f"no form for {', '.join(sorted(set(ops)))}. " if ops else ""
    return (named + first_line(error)).rstrip(".") + "."
