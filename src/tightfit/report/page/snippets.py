"""Code that runs the chosen file, with its inputs, its scales and the recorded preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tightfit.graph.ir import Model, Tensor

_C_TYPES: Final = {
    "float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t",
}  # fmt: skip
_KOTLIN: Final = {"float32": "FloatArray", "int8": "ByteArray", "uint8": "ByteArray", "int16": "ShortArray"}


@dataclass(frozen=True)
class Snippet:
    """Code in one language."""

    language: str
    code: str


def snippets(model: Model, file: str, image: str | None) -> list[Snippet]:
    """Return code for Python, C++, Kotlin and a microcontroller.

    Args:
        model: the chosen file, read.
        file: its name.
        image: the image options that calibration used, as ``--image`` takes them; None without images.
    """
    first = model.main.inputs[0]
    last = model.main.outputs[0]
    note = f"preprocess as in calibration: {image}" if image else "feed what the model was calibrated with"
    return [
        Snippet("Python", _python(first, last, file, note)),
        Snippet("C++", _cpp(first, last, file, note)),
        Snippet("Kotlin", _kotlin(first, last, file, note)),
        Snippet("tflite-micro", _micro(first, model, note)),
    ]


def _shape(tensor: Tensor) -> str:
    return ", ".join(str(max(1, d)) for d in tensor.shape)


def _scale(tensor: Tensor) -> tuple[float, int] | None:
    if not tensor.is_quantized or tensor.quantization is None:
        return None
    return float(tensor.quantization.scale[0]), int(tensor.quantization.zero_point[0])


def _feed(tensor: Tensor, real: str) -> str:
    """The expression that quantizes a real where the input takes integers."""
    scale = _scale(tensor)
    return real if scale is None else f"{real} / {scale[0]:.9g} + {scale[1]}"


def _python(first: Tensor, last: Tensor, file: str, note: str) -> str:
    lines = [
        "import numpy as np",
        "from ai_edge_litert.interpreter import Interpreter",
        "",
        f'model = Interpreter("{file}")',
        "model.allocate_tensors()",
        f"x = np.zeros(({_shape(first)},), np.float32)  # {note}",
    ]
    if _scale(first) is not None:
        lines.append(f"x = np.round({_feed(first, 'x')})  # the input takes integers")
    lines += [
        f'model.set_tensor(model.get_input_details()[0]["index"], x.astype("{first.dtype}"))',
        "model.invoke()",
        'y = model.get_tensor(model.get_output_details()[0]["index"])',
    ]
    back = _scale(last)
    if back is not None:
        lines.append(f"y = (y.astype(np.float32) - {back[1]}) * {back[0]:.9g}")
    return "\n".join(lines)


def _cpp(first: Tensor, last: Tensor, file: str, note: str) -> str:
    taken, given = _C_TYPES.get(first.dtype, first.dtype), _C_TYPES.get(last.dtype, last.dtype)
    lines = [
        '#include "tflite/interpreter.h"',
        '#include "tflite/kernels/register.h"',
        '#include "tflite/model_builder.h"',
        "",
        f'auto model = tflite::FlatBufferModel::BuildFromFile("{file}");',
        "tflite::ops::builtin::BuiltinOpResolver resolver;",
        "std::unique_ptr<tflite::Interpreter> interpreter;",
        "tflite::InterpreterBuilder(*model, resolver)(&interpreter);",
        "interpreter->AllocateTensors();",
        f"{taken}* x = interpreter->typed_input_tensor<{taken}>(0);  // [{_shape(first)}]",
        f"// {note}; x[i] = {_feed(first, 'real')};",
        "interpreter->Invoke();",
        f"const {given}* y = interpreter->typed_output_tensor<{given}>(0);",
    ]
    return "\n".join(lines)


def _kotlin(first: Tensor, last: Tensor, file: str, note: str) -> str:
    kind = _KOTLIN.get(first.dtype, "ByteArray")
    write = kind.removesuffix("Array").replace("Byte", "Int8")
    read = "Float" if last.dtype == "float32" else "Int8"
    lines = [
        "import com.google.ai.edge.litert.Accelerator",
        "import com.google.ai.edge.litert.CompiledModel",
        "",
        "val options = CompiledModel.Options(Accelerator.CPU)",
        f'val model = CompiledModel.create(context.assets, "{file}", options)',
        "val inputs = model.createInputBuffers()",
        "val outputs = model.createOutputBuffers()",
        f"val x = {kind}({first.size})  // [{_shape(first)}]; {note}; x[i] = {_feed(first, 'real')}",
        f"inputs[0].write{write}(x)",
        "model.run(inputs, outputs)",
        f"val y = outputs[0].read{read}()",
    ]
    return "\n".join(lines)


def _micro(first: Tensor, model: Model, note: str) -> str:
    kinds = sorted({op.kind for graph in model.graphs for op in graph.ops})
    taken = _C_TYPES.get(first.dtype, first.dtype)
    lines = [
        '#include "tensorflow/lite/micro/micro_interpreter.h"',
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',
        "",
        f"tflite::MicroMutableOpResolver<{len(kinds)}> resolver;",
        *(f"resolver.Add{_camel(kind)}();" for kind in kinds),
        "const tflite::Model* model = tflite::GetModel(g_model);",
        "tflite::MicroInterpreter interpreter(model, resolver, arena, sizeof(arena));",
        "interpreter.AllocateTensors();",
        f"{taken}* x = interpreter.typed_input_tensor<{taken}>(0);",
        f"// {note}; x[i] = {_feed(first, 'real')};",
        "interpreter.Invoke();",
    ]
    return "\n".join(lines)


def _camel(kind: str) -> str:
    """Return a builtin operator's name as the resolver's function has it.

    Example:
        >>> _camel("CONV_2D"), _camel("FULLY_CONNECTED")
        ('Conv2D', 'FullyConnected')
    """
    return "".join(part if part == "2D" else part.capitalize() for part in kind.split("_"))
