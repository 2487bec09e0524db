"""Keras 3 models: functional, sequential, subclassed, nested, with custom layers.

The route follows the backend that Keras runs on. On JAX a model is a pure function that ``stablehlo``
converts without TensorFlow; on TensorFlow it goes through a SavedModel (for layers that call ``tf.*``); on
torch through ``litert-torch``.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.exporting import Exported, Lowered, RouteError, Specs, first_line, own_words, reason
from tightfit.conversion.keras.attention_layers import written_out
from tightfit.conversion.keras.float_policies import full_precision, in_float32, rebuilt
from tightfit.conversion.keras.kept_state import StatefulCall, kept_state
from tightfit.conversion.keras.old_configs import migrated, writer_version
from tightfit.conversion.keras.quantized_layers import dequantize_layers
from tightfit.conversion.keras.recurrent_layers import Forms, written_forms
from tightfit.conversion.keras.safe_files import DAMAGE, check_file, modules_in, read_config
from tightfit.conversion.keras.safe_weights import check_archive, check_h5
from tightfit.errors import ModelError

_RANDOM = ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal")


def export(source: Any, options: ConversionOptions) -> Exported:
    """Return the float ``.tflite`` of a Keras model or of a ``.keras`` or ``.h5`` file.

    Raises:
        ModelError: the file is damaged, needs trust, or no route takes the model.
        RouteError: this backend does not take it; another one may.
    """
    model = load_file(source, options) if isinstance(source, Path) else source
    quantized = dequantize_layers(model)
    model = model if isinstance(source, Path) else rebuilt(model)
    fuses = options.recurrent == "fused" and keras.backend.backend() == "jax" and not options.trace_batch
    loops = fuses and options.batch is not None
    with (
        written_forms(model, fuses=fuses, loops=loops) as forms,
        in_float32(model) as half,
        written_out(model),
    ):
        call = ExportCall(model, options)
        route = _ROUTES[keras.backend.backend()]
        exported = route(call, options, forms)
    exported.notes += [*quantized, *forms.notes()]
    if half:
        exported.notes.append(f"Converted to float32: {len(half)} layers computed in half precision.")
    return exported


def load_file(path: Path, options: ConversionOptions) -> Any:
    """Return the model of a file; code that it names is imported only with trust.

    Raises:
        ModelError: it needs trust, is damaged, or a class is not to be found.
    """
    check_file(path, trust=options.trust)
    _check_weights(path)
    for module in modules_in(read_config(path)):
        with contextlib.suppress(ImportError):  # Keras names what it misses
            importlib.import_module(module)
    try:
        with _blank_initial_values(), migrated(path) as place:
            return keras.saving.load_model(place, compile=False, safe_mode=not options.trust)
    except Exception as error:
        version = writer_version(path) or ""
        old = f" Keras {version} wrote it: save it there as SavedModel or .h5." if version[:2] == "2." else ""
        raise ModelError(
            f"Keras {keras.__version__} cannot load '{path.name}': {reason(error)}{old} If it needs "
            "classes of yours, write a function that loads it with them and pass module:function."
        ) from error


def _check_weights(path: Path) -> None:
    """Refuses weights that read other files, whatever the user trusts: nothing of Keras writes them."""
    try:
        check_archive(path) if path.suffix == ".keras" else check_h5(path)
    except (*DAMAGE, AttributeError, TypeError) as error:
        raise ModelError(
            f"'{path.name}' is not a whole Keras model ({first_line(error).rstrip('.')}); save it again with "
            "model.save()."
        ) from error


@contextlib.contextmanager
def _blank_initial_values() -> Iterator[None]:
    """Lets random initializers without a seed give zeros, since the file's values follow at once.

    XLA would compile a generator for every shape of a weight: 5 of the 15 s that MobileNetV2 took in all.
    """
    kinds = [getattr(keras.initializers, name) for name in _RANDOM]
    plain = {kind: kind.__call__ for kind in kinds}

    def blank(self: Any, shape: Any, dtype: Any = None, **options: Any) -> Any:
        if getattr(self, "_init_seed", 0) is not None:
            return plain[next(k for k in kinds if isinstance(self, k))](self, shape, dtype, **options)
        return keras.ops.convert_to_tensor(np.zeros(shape, keras.backend.standardize_dtype(dtype)))

    try:
        for kind in kinds:
            kind.__call__ = blank
        yield
    finally:
        for kind, call in plain.items():
            kind.__call__ = call


class ExportCall:
    """How a model is called: the names, shapes and dtypes of its inputs, its outputs' names.

    Attributes:
        inputs: name → (shape, dtype); the batch may be None.
    """

    def __init__(self, model: Any, options: ConversionOptions) -> None:
        self.model = model
        self.structure = _structure(model, options)
        leaves = [leaf for leaf in keras.tree.flatten(self.structure) if leaf is not None]
        self.names = _unique([_plain_name(leaf.name, i) for i, leaf in enumerate(leaves)])
        self.inputs: Specs = {
            name: (_whole_shape(options, name, leaf.shape), full_precision(leaf.dtype))
            for name, leaf in zip(self.names, leaves, strict=True)
        }
        specs = [
            keras.KerasTensor(shape, dtype=dtype, name=name) for name, (shape, dtype) in self.inputs.items()
        ]
        result = self.on(specs)
        self.outputs = _output_names(model, result)

    def pack(self, arrays: Sequence[Any]) -> Any:
        """Return the arrays in the structure that the model takes."""
        return keras.tree.pack_sequence_as(self.structure, list(arrays))

    def on(self, arrays: Sequence[Any]) -> Any:
        """Return the model's own result."""
        return (
            self.model(self.pack(arrays), training=False)
            if _takes_training(self.model)
            else self.model(self.pack(arrays))
        )

    def traced(self, *arrays: Any) -> list[Any]:
        """Return the results of ``call``, as ``stateless_call`` does: names lack the model's own then."""
        extra = {"training": False} if _takes_training(self.model) else {}
        return list(keras.tree.flatten(self.model.call(self.pack(arrays), **extra)))

    def flat(self, *arrays: Any) -> list[Any]:
        """Return the results one after the other."""
        return list(keras.tree.flatten(self.on(arrays)))


def _by_jax(call: ExportCall, options: ConversionOptions, forms: Forms) -> Exported:
    import jax  # noqa: PLC0415 - only on this backend

    from tightfit.conversion.keras.plain_functions import plain_functions  # noqa: PLC0415 - the same
    from tightfit.conversion.stablehlo.jax_lowering import probe_function  # noqa: PLC0415 - the same
    from tightfit.conversion.stablehlo.transposed_convolution import exact_transposes  # noqa: PLC0415 - the same

    try:
        with exact_transposes(), plain_functions():
            traced = StatefulCall(call, [])
            lowered = _lowered(traced, options)
            if traced.assigned:
                lowered.path.unlink()
                traced = StatefulCall(call, kept_state(traced.assigned.values()))
                lowered = _lowered(traced, options)
        compiled = jax.jit(traced)
        with forms.paused():
            probes = probe_function(
                lambda *x: compiled(*x, weights=traced.weights),
                call.inputs,
                call.outputs,
                state=traced.values,
            )
    except ModelError as error:
        raise RouteError(own_words(error)) from error
    except Exception as error:
        raise RouteError(_untraceable(call.model, error)) from error
    names = ", ".join(v.name for v in traced.values)
    notes = [f"Keeps its state between calls: {names}."] if names else []
    return Exported(lowered, probes, "Keras on JAX, StableHLO, litert-converter", notes, state=traced.values)


def _lowered(traced: StatefulCall, options: ConversionOptions) -> Lowered:
    from tightfit.conversion.stablehlo.jax_lowering import lower_function  # noqa: PLC0415 - loads JAX

    return replace(lower_function(traced, traced.inputs, traced.outputs, options), routed=True)


def _untraceable(model: Any, error: Exception) -> str:
    return (
        f"The model '{model.name}' cannot be traced on JAX ({type(error).__name__}: {reason(error)}); a "
        "layer may call tf.*, torch or NumPy: use keras.ops, or convert with --backend tensorflow or torch."
    )


def _by_tensorflow(call: ExportCall, options: ConversionOptions, forms: Forms) -> Exported:
    del forms
    from tightfit.conversion.saved_model import export_keras  # noqa: PLC0415 - loads TensorFlow

    return export_keras(call, options)


def _by_torch(call: ExportCall, options: ConversionOptions, forms: Forms) -> Exported:
    del forms
    from tightfit.conversion.torch_programs.torch_export import export_keras  # noqa: PLC0415 - loads torch

    return export_keras(call, options)


_ROUTES = {"jax": _by_jax, "tensorflow": _by_tensorflow, "torch": _by_torch}


# -- inputs and outputs ----------------------------------------------------------------------------


def _structure(model: Any, options: ConversionOptions) -> Any:
    """The inputs as Keras tensors in the structure of the call."""
    if isinstance(model, keras.Sequential) and not model.built and options.shapes:
        model.build(options.shape_of("", None))
    with contextlib.suppress(AttributeError, ValueError):  # a subclassed model has no graph of its own
        structure = model.input
        one = isinstance(structure, list | tuple) and len(structure) == 1
        return structure[0] if one else structure
    shapes = {k: v for k, v in (getattr(model, "_build_shapes_dict", None) or {}).items() if v is not None}
    if options.shapes:
        named = {name or "inputs": shape for name, shape in options.shapes.items()}
        tensors = {name: keras.KerasTensor(shape, name=name) for name, shape in named.items()}
        return next(iter(tensors.values())) if len(tensors) == 1 else tensors
    if not shapes:
        raise ModelError(
            f"The subclassed model '{model.name}' does not know the shape of its input; call it once before "
            "it is saved, or pass --input-shape 1,224,224,3."
        )
    known = shapes.get("input_shape", next(iter(shapes.values())))
    return _tensors_of(known, "inputs")


def _tensors_of(shapes: Any, name: str) -> Any:
    """Keras tensors in the structure of the shapes that a model was built with."""
    if isinstance(shapes, dict):
        return {key: _tensors_of(value, str(key)) for key, value in shapes.items()}
    if shapes and isinstance(shapes[0], dict | list | tuple):
        return [_tensors_of(value, f"{name}_{i}") for i, value in enumerate(shapes)]
    return keras.KerasTensor((None, *shapes[1:]), name=name)


def _whole_shape(options: ConversionOptions, name: str, known: Any) -> tuple[int | None, ...]:
    shape = options.shape_of(name, tuple(known))
    assert shape is not None  # noqa: S101 - a Keras tensor has a shape
    if None in shape[1:]:
        sizes = ",".join("?" if d is None else str(d) for d in shape)
        raise ModelError(
            f"The input '{name}' has free dimensions ({sizes}); a file needs numbers: pass --input-shape "
            f"{name}={sizes}."
        )
    return shape


def _output_names(model: Any, result: Any) -> list[str]:
    leaves = keras.tree.flatten(result)
    if isinstance(result, dict):
        return _unique([str(key) for key in sorted(result)])
    names = list(getattr(model, "output_names", None) or [])
    if len(names) != len(leaves):
        names = [f"output_{i}" for i in range(len(leaves))]
    return _unique(names)


def _plain_name(name: str | None, position: int) -> str:
    return name.split(":")[0].replace("/", "_") if name else f"input_{position}"


def _unique(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result


def _takes_training(model: Any) -> bool:
    parameters = inspect.signature(model.call).parameters
    return "training" in parameters or getattr(model, "_call_has_training_arg", False)
