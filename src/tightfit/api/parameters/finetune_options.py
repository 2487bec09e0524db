"""The options of ``finetune`` as one object: read, checked, and as a file records them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.accuracy import Asked, wanted_metrics
from tightfit.kinds import DataLike
from tightfit.quantization.layouts import LAYOUTS
from tightfit.quantization.scheme import find_scheme
from tightfit.training.loop.finetune_spec import FinetuneSpec, check_spec
from tightfit.training.loop.training_options import TrainingOptions
from tightfit.training.losses.loss_words import spelled

_STORAGES: Final = ("dense", "sparse")


@dataclass(frozen=True)
class FinetuneOptions(TrainingOptions):
    """What ``finetune`` takes besides model, data and output.

    Args:
        scheme: name of the file's scheme, None for float.
        interface: type of its inputs and outputs.
        train: samples to train with at most, None for all that are not held out.
        layout: ``cpu``, ``npu`` or ``micro``.
        storage: ``dense``, or ``sparse`` to leave zeros out of the file where that makes it smaller.
        metric: what the file is measured by, as for ``evaluate``.
        validation: data that chooses the best epoch, and between the trained and the untrained file; None
            holds a fifth of the training samples out.
        test: data that measures; None holds a quarter of the training data out.
        provenance: False leaves it out of the file.
        signature: the entry point that is trained, where the model has several.
    """

    scheme: str | None = None
    interface: str = "float32"
    train: int | None = None
    layout: str = "cpu"
    storage: str = "dense"
    metric: Asked = "auto"
    validation: DataLike | None = None
    test: DataLike | None = None
    provenance: bool = True
    signature: str | None = None


def chosen_options(options: FinetuneOptions, keywords: Mapping[str, Any]) -> FinetuneOptions:
    """Return options with the keywords that differ from their defaults."""
    plain, given = FinetuneOptions(), dict(keywords) | {"interface": keywords["io"]}
    changed = {f.name: given[f.name] for f in fields(FinetuneOptions)}
    changed |= {name: tuple(changed[name]) for name in ("features", "augment")}
    pairs = changed["teacher_outputs"]
    changed["teacher_outputs"] = tuple(pairs.items() if isinstance(pairs, Mapping) else map(tuple, pairs))
    return replace(options, **{k: v for k, v in changed.items() if not is_equal(v, getattr(plain, k))})


def teachers_of(given: Any) -> list[Any]:
    """Return the teachers of one, of several, or of None."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def is_equal(value: Any, default: Any) -> bool:
    """Return whether an option has its default; arrays and objects of the caller never do."""
    return value is default or (isinstance(value, str | int | float | tuple) and bool(value == default))


def as_plain(value: Any) -> Any:
    """An option as JSON: data of the caller by its type."""
    plain = spelled(value)
    if isinstance(plain, str | int | float | bool | None) or isinstance(value, list | tuple | dict):
        try:
            return json.loads(json.dumps(plain))
        except TypeError:
            pass
    return str(plain) if isinstance(value, Path) else type(value).__name__


def check_options(options: FinetuneOptions) -> None:
    """Refuses what no training could use, before Keras is loaded."""
    wanted_metrics(options.metric)
    if options.layout not in LAYOUTS:
        raise OptionError(unknown_name("layout", options.layout, LAYOUTS))
    if options.storage not in _STORAGES:
        raise OptionError(unknown_name("storage", options.storage, _STORAGES))


def spec_of(options: FinetuneOptions) -> FinetuneSpec:
    """Return the options as the specification of a training.

    Raises:
        OptionError: an option or a combination cannot be used.
    """
    if options.scheme is None and options.interface != "float32":
        raise OptionError(
            f"Received --io {options.interface} without --scheme, which it is for. Give both or neither."
        )
    scheme = None if options.scheme is None else find_scheme(options.scheme, options.interface)
    shared = {f.name: getattr(options, f.name) for f in fields(TrainingOptions)}
    spec = FinetuneSpec(**shared, scheme=scheme)
    check_spec(spec)
    return spec
