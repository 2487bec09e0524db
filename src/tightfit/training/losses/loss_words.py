"""How losses are spelled, and what a loss says about the labels. This module does not import Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from tightfit.data.user_code import load_function
from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.labels.label_kinds import BINARY, CLASSES, INPUT, RANK, VALUES

AUTO: Final = "auto"
BALANCED: Final = "balanced"

LOSSES: Final[dict[str, str | None]] = {
    AUTO: None, "crossentropy": CLASSES, "focal": CLASSES, "binary_crossentropy": BINARY,
    "binary_focal": BINARY, "mse": VALUES, "mae": VALUES, "huber": VALUES, "log_cosh": VALUES,
    "ordinal": RANK, "input": INPUT, "none": None,
}  # fmt: skip
"""Name of a loss → what it says the labels are; None leaves it to the labels."""

OTHER_NAMES: Final = {
    "sparse_categorical_crossentropy": "crossentropy", "categorical_crossentropy": "crossentropy",
    "cross-entropy": "crossentropy", "categorical_focal_crossentropy": "focal", "bce": "binary_crossentropy",
    "binary_focal_crossentropy": "binary_focal", "mean_squared_error": "mse", "mean_absolute_error": "mae",
    "logcosh": "log_cosh", "smooth_l1": "huber", "reconstruction": "input",
}  # fmt: skip
"""The name in Keras or torch → the name here."""

Loss = str | Callable[..., Any]

LossLike: TypeAlias = str | Callable[..., object] | Sequence[str] | Mapping[str, str | Callable[..., object]]
"""A loss, or the losses of outputs, as a caller gives them."""

Weights: TypeAlias = str | Sequence[str] | Mapping[str, float] | Mapping[int, float]
"""Weights by name, as a mapping or as ``name=number`` words."""


@dataclass(frozen=True)
class LossWords:
    """What the user says about the losses.

    Args:
        losses: output → name of ``LOSSES`` or a function of (labels, outputs); "" is for every other output.
        weights: output → weight of its loss, 1 for others.
        classes: class → weight of its samples or places; ``balanced`` for the inverse of their frequency.
    """

    losses: Mapping[str, Loss] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[int, float] | str = field(default_factory=dict)

    def of(self, output: str) -> Loss:
        """Return the loss of an output."""
        return self.losses.get(output, self.losses.get("", AUTO))

    def kinds(self) -> dict[str, str]:
        """Return output → kind of labels, of the losses that say one."""
        named = {output: LOSSES[loss] for output, loss in self.losses.items() if isinstance(loss, str)}
        return {output: kind for output, kind in named.items() if kind is not None}

    def check_outputs(self, outputs: Sequence[str]) -> None:
        """Check that the model has the outputs that are named.

        Raises:
            OptionError: it has not.
        """
        for name in [*self.losses, *self.weights]:
            if name and name not in outputs:
                raise OptionError(unknown_name("output", name, outputs))


def parse_losses(given: Any) -> dict[str, Loss]:
    """Return output → loss.

    Args:
        given: a name, ``output=name``, ``module:function``, a function or a Keras loss, a mapping from
            outputs to such, or several of the texts.

    Raises:
        OptionError: a name is unknown.
        DataError: a function cannot be loaded.

    Example:
        >>> parse_losses("mse"), parse_losses(["digit=crossentropy", "angle=huber"])
        ({'': 'mse'}, {'digit': 'crossentropy', 'angle': 'huber'})
    """
    if isinstance(given, Mapping):
        return {str(output): _loss(each) for output, each in given.items()}
    if isinstance(given, list | tuple):
        return {output: loss for each in given for output, loss in parse_losses(each).items()}
    if isinstance(given, str):
        output, equals, name = given.partition("=")
        return {output: _loss(name)} if equals else {"": _loss(given)}
    return {"": _loss(given)}


def _loss(given: Any) -> Loss:
    if callable(given):
        return given  # type: ignore[no-any-return]
    if isinstance(given, str) and ":" in given:
        return load_function(given, "a function of labels and outputs that returns a loss")
    name = OTHER_NAMES.get(str(given), str(given))
    if name not in LOSSES:
        raise OptionError(unknown_name("loss", name, LOSSES))
    return name


def parse_weights(given: Any, what: str) -> dict[str, float]:
    """Return name → weight, of a mapping or of ``name=number`` words.

    Raises:
        OptionError: a weight is missing or negative.

    Example:
        >>> parse_weights(("digit=2", "angle=0.5"), "loss weight"), parse_weights({3: 10}, "class weight")
        ({'digit': 2.0, 'angle': 0.5}, {'3': 10.0})
    """
    pairs = (
        given.items() if isinstance(given, Mapping) else [str(each).rpartition("=")[::2] for each in given]
    )
    found: dict[str, float] = {}
    for name, text in pairs:
        try:
            found[str(name)] = float(text)
        except ValueError:
            found[str(name)] = -1.0
        if name in ("", None) or not 0 <= found[str(name)] < float("inf"):
            raise OptionError(
                f"Received the {what} '{name}={text}'; expected NAME=NUMBER with a number from 0."
            )
    return found


def parse_class_weights(given: Any) -> Mapping[int, float] | str:
    """Return class → weight, or ``balanced``.

    Raises:
        OptionError: a class is no whole number, or a weight is none.

    Example:
        >>> parse_class_weights(["0=1", "1=40"]), parse_class_weights("balanced")
        ({0: 1.0, 1: 40.0}, 'balanced')
    """
    if given in (BALANCED, (BALANCED,), [BALANCED]):
        return BALANCED
    words = given.split(",") if isinstance(given, str) else given
    found = parse_weights(words, "class weight")
    if not all(name.isdigit() for name in found):
        raise OptionError(
            f"Received the class weights of {', '.join(found)}; expected classes from 0, as 1=40."
        )
    return {int(name): weight for name, weight in found.items()}


def spelled(value: Any) -> Any:
    """Return a loss, or a mapping of losses, as text that is equal in the next run."""
    if isinstance(value, Mapping):
        return {str(key): spelled(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(each) for each in value]
    if callable(value):
        owner = value if hasattr(value, "__qualname__") else type(value)
        config = value.get_config() if hasattr(value, "get_config") else ""
        return f"{owner.__module__}:{owner.__qualname__}{config}"
    return value
