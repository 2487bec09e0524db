"""Data of a file with several signatures: each signature is given its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from tightfit.conversion.held_models import temporary_place
from tightfit.conversion.open_model import open_model
from tightfit.errors import OptionError, unknown_name
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signature_models import entry_points, signature_model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import write_model

Given = TypeVar("Given")
_WORD: Final = re.compile(r"([\w.\-/]+)=(.+)", re.DOTALL)


def keyed_data(words: Sequence[str]) -> Any:
    """Return the DATA of ``--data`` words: one as it is, ``KEY=DATA`` words as signature key → data.

    Raises:
        OptionError: there are several words, and one has no key.

    Example:
        >>> keyed_data(["x.npz"]), keyed_data(["encode=a.npz", "decode=b.npz"]), keyed_data([])
        ('x.npz', {'encode': 'a.npz', 'decode': 'b.npz'}, None)
    """
    matches = [None if Path(word).exists() else _WORD.fullmatch(word) for word in words]
    if len(words) <= 1 and not any(matches):
        return words[0] if words else None
    found: dict[str, str] = {}
    for word, match in zip(words, matches, strict=True):
        if match is None:
            raise OptionError(
                f"Received {len(words)} values of --data, one of them '{word}'; expected SIGNATURE=DATA for "
                "each signature of the model."
            )
        found[match[1]] = match[2]
    return found


def data_by_signature(model: Model, data: Any) -> dict[str, Any]:
    """Return signature key → its data, for the signatures that call a graph of their own.

    Data without keys is that of the default signature, and of the signatures that have the same inputs.

    Args:
        model: with at least one signature.
        data: DATA, a mapping from signature keys to DATA, or None.

    Raises:
        OptionError: a key is no signature of the model.

    Returns:
        Only the signatures that have data.
    """
    points = entry_points(model)
    keys = {s.key: next(k for k, i in points.items() if i == s.graph_index) for s in model.signatures}
    if data is None:
        return {}
    if is_keyed(model, data):
        for key in data:
            if key not in keys:
                raise OptionError(unknown_name("signature", key, keys))
        return {keys[key]: value for key, value in data.items()}
    default = next(iter(points))
    wanted = _inputs(signature_model(model, default)[0])
    return {k: data for k in points if k == default or _inputs(signature_model(model, k)[0]) == wanted}


def data_of_one(model: Model, data: Any) -> Any:
    """Return the data of a model with one entry point, also where it is given by its signature's key.

    Raises:
        OptionError: the key is no signature of the model.
    """
    if not model.signatures or not is_keyed(model, data):
        return data
    return next(iter(data_by_signature(model, data).values()))


def is_keyed(model: Model, data: Any) -> bool:
    """Return whether data is a mapping by signature: a mapping by input name is the data of one."""
    if not isinstance(data, Mapping) or not data or not all(isinstance(key, str) for key in data):
        return False
    inputs = {name for signature in model.signatures for name in signature.inputs}
    known = {signature.key for signature in model.signatures}
    return bool(known & set(data)) or (not inputs & set(data) and all(_is_data(v) for v in data.values()))


def _is_data(value: Any) -> bool:
    return isinstance(value, str | Path)


def signature_file(model: Path, key: str | None) -> Path:
    """Return a file whose default signature is the wanted one; the model's own file where none is wanted.

    Raises:
        OptionError: the model has no such signature.
    """
    if key is None:
        return model
    whole = read_model(model)
    known = [s.key for s in whole.signatures]
    if key not in known:
        raise OptionError(unknown_name("signature", key, known))
    alone = signature_model(whole, key)[0]
    alone.signatures = [s for s in alone.signatures if s.key == key]
    path = temporary_place(f"{model.stem}_{key}")
    write_model(alone, path)
    return path


def single_signature(model: Path, key: str | None) -> Path:
    """Return a file with one entry point, for what measures one: a search or a training.

    Args:
        model: a file.
        key: of the wanted signature; None where the model has one entry point.

    Raises:
        OptionError: the model has several entry points and none is named, or it has no such signature.
    """
    points = [] if key is not None else list(entry_points(read_model(model)))
    if len(points) > 1:
        raise OptionError(
            f"Received a model with the signatures {', '.join(points)}; expected one, because only one would "
            "be measured. Name it with --signature KEY, or quantize all with --data KEY=DATA for each."
        )
    return signature_file(model, key)


def model_of_signature(model: Given, key: str | None) -> Given | Path:
    """Return a model with one signature alone; the model itself where none is wanted.

    Raises:
        OptionError: the model has no such signature.
    """
    return model if key is None else signature_file(open_model(model), key)


def _inputs(model: Model) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (t.shape, t.dtype) for name, t in input_names(model).items()}
