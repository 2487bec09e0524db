"""Which arrays of an ``.npz`` file are inputs, which are labels, and which are not used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tightfit.data.arrays import NpzArrays
from tightfit.data.manifest import BOX_LABELS
from tightfit.data.npz_members import array_names, row_counts
from tightfit.data.sample import WEIGHT
from tightfit.errors import DataError, unknown_name

_LABELS: Final = ("y", "label", "labels")


def default_arrays(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> NpzArrays:
    """Return the arrays named as the inputs (or ``x`` for the only one), and those that are labels.

    Labels are ``y`` (``label``, ``labels``), arrays named as the outputs, and ``boxes`` with ``classes``.
    Other arrays of as many rows are noted, so that no label is lost without a word.

    Args:
        path: the file.
        inputs: names of the model's inputs.
        outputs: names of the model's outputs; without them only ``y`` is a label.

    Raises:
        DataError: when an input has no array.
    """
    held = array_names(path)
    if set(inputs) <= set(held):
        chosen = {name: name for name in inputs}
    elif len(inputs) == 1 and "x" in held:
        chosen = {inputs[0]: "x"}
    else:
        expected = f"'x' or '{inputs[0]}'" if len(inputs) == 1 else ", ".join(f"'{name}'" for name in inputs)
        raise DataError(
            f"'{path.name}' holds the arrays {', '.join(held) or 'none'}. Expected {expected} and, for "
            "labels, "
            f"'y'; or choose arrays, as in {path.name}:x_test,y_test."
        )
    rest = [name for name in held if name not in chosen.values() and name not in inputs]
    if not outputs:
        return NpzArrays(path, chosen, "y" if "y" in rest else None)
    return _labelled(path, chosen, rest, outputs)


def _labelled(path: Path, chosen: dict[str, str], rest: Sequence[str], outputs: Sequence[str]) -> NpzArrays:
    named = {name: name for name in rest if name in outputs or name.lower() in map(str.lower, outputs)}
    if "boxes" in rest:
        named |= {name: name for name in rest if name in (*BOX_LABELS, *_LABELS[1:])}
    named |= {name: name for name in rest if name in ("area", WEIGHT)}
    plain = next((name for name in _LABELS if name in rest and name not in named), None)
    left = [name for name in rest if name not in named and name != plain]
    counts = row_counts(path, [*chosen.values(), *left])
    rows = counts[next(iter(chosen.values()))]
    beside = [name for name in left if counts[name] == rows]
    notes = []
    if beside:
        listed = ", ".join(f"'{name}'" for name in beside)
        notes.append(
            f"{listed} of '{path.name}' {'is' if len(beside) == 1 else 'are'} not used: labels are called "
            "y, or as "
            f"the outputs ({', '.join(outputs)}); or choose them, as in "
            f"{path.name}:{next(iter(chosen.values()))},"
            f"{beside[0]}={outputs[0]}."
        )
    return NpzArrays(path, chosen, plain, named, notes)


def chosen_arrays(path: Path, words: Sequence[str], inputs: Sequence[str]) -> NpzArrays:
    """Return the arrays that the user listed: inputs, labels, and labels with a name as ``array=name``.

    Args:
        path: the file.
        words: as ``x``, ``y_test`` or ``classes=output_1``.
        inputs: names of the model's inputs.

    Raises:
        DataError: for an unknown array, or too many.
    """
    held = array_names(path)
    named = {word.partition("=")[2]: word.partition("=")[0] for word in words if "=" in word}
    names = [word for word in words if "=" not in word]
    for name in [*names, *named.values()]:
        if name not in held:
            raise DataError(unknown_name(f"array in '{path.name}'", name, held))
    if len(inputs) == 1 and 1 <= len(names) <= 2:
        return NpzArrays(path, {inputs[0]: names[0]}, names[1] if len(names) == 2 else None, named)
    rest = [name for name in names if name not in inputs]
    if len(inputs) == 1 or not set(inputs) <= set(names) or len(rest) > 1:
        raise DataError(
            f"{len(names)} arrays of '{path.name}' were chosen: {', '.join(names)}. Expected the model's "
            f"inputs ({', '.join(inputs)}) and at most one array of labels; more as array=output."
        )
    return NpzArrays(path, {name: name for name in inputs}, rest[0] if rest else None, named)
