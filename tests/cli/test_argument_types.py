"""An argument of a wrong type, or out of range, is refused in one sentence, for every verb."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pytest

import tightfit
from tightfit import demo
from tightfit.argument_types import check_arguments, fits
from tightfit.errors import OptionError, TightfitError

VERBS = {
    n: f
    for n in tightfit.__all__
    if inspect.isfunction(f := getattr(tightfit, n)) and hasattr(f, "__wrapped__")
}
OPEN = {
    "metric",
    "progress",
    "stage",
    "wanted",
    "model",
    "first",
    "second",
    "models",
    "data",
    "reports",
    "result",
    "source",
    "calibration_data",
    "validation",
    "test",
    "teacher",
}
"""Arguments that another module reads."""


class Odd:
    """What no option takes."""


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (np.int64(1), int, True),
        (True, int, False),
        (1.5, int, False),
        (1, float, True),
        (np.float32(1), float, True),
        ("1", float, False),
        (np.True_, bool, True),
        (1, bool, True),
        ("no", bool, False),
        (None, int | None, True),
        ("dynamic", int | Literal["dynamic"], True),
        ("other", int | Literal["dynamic"], False),
        (np.zeros(3), int | Literal["dynamic"], False),
        ("ab", Sequence[str], False),
        ({"a"}, Sequence[str], True),
        ({1}, Sequence[str], False),
        (np.zeros(2), Sequence[str], False),
        (iter("a"), Sequence[str], False),
        (iter("a"), Iterable[str], True),
        ((0.0, 1.0), tuple[float, float], True),
        ((0.0,), tuple[float, float], False),
        ({0.0, 1.0}, tuple[float, float], False),
        ({"a": 1}, Mapping[str, float], True),
        ({1: 1}, Mapping[str, float], False),
        (print, Callable[[], object], True),
        (1, Callable[[], object], False),
    ],
)
def test_a_value_fits_its_annotation(value, hint, expected):
    assert fits(value, hint) is expected


@pytest.mark.parametrize("name", VERBS)
def test_each_option_of_each_verb_refuses_what_it_is_not(name):
    verb = VERBS[name]
    parameters = inspect.signature(verb).parameters
    needed = {n: "nowhere.tflite" for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    for option in parameters.keys() - OPEN:
        expected = "Received .* as the output|Received [a-z_0-9]+=.*Odd.*; expected "
        with pytest.raises(OptionError, match=expected):
            verb(**needed | {option: Odd()})


def test_every_annotation_of_a_verb_is_understood():
    for verb in VERBS.values():
        for hint in typing.get_type_hints(verb.__wrapped__).values():
            fits(Odd(), hint)


@pytest.mark.parametrize(
    ("verb", "option", "said"),
    [
        ("quantize", {"calibration": -1}, "calibration=-1; expected 1 or more"),
        ("quantize", {"effort": 9}, "effort=9; expected 0 to 2"),
        ("quantize", {"max_noise": float("nan")}, "max_noise=nan; expected 0 to 1"),
        ("doctor", {"seed": -1}, "seed=-1; expected 0 or more"),
        ("evaluate", {"limit": 0}, "limit=0; expected 1 or more"),
        ("check", {"memory": -1}, "memory=-1; expected 1 or more"),
        ("benchmark", {"rounds": 0}, "rounds=0; expected 1 or more"),
        ("evaluate", {"progress": lambda: None}, "Received progress of type function"),
        ("evaluate", {"metric": []}, "Received the metrics ''"),
        ("evaluate", {"models": []}, "Received no model"),
        ("convert", {"layout": "odd"}, "Unknown layout 'odd'"),
        ("diff", {"image": "size=3"}, "image= without data"),
        ("load", {"output": 5}, "Received 5 as the output"),
        ("finetune", {"options": tightfit.FinetuneOptions(seed="x")}, r"FinetuneOptions\.seed='x'"),
    ],
)
def test_numbers_out_of_range_are_told(verb, option, said):
    parameters = inspect.signature(VERBS[verb]).parameters
    given = {n: demo.MODEL for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    given |= {"data": demo.calibration} if "data" in given else {}
    given |= {"target": "cpu"} if "target" in given else {}
    given |= {"scheme": "int8"} if "scheme" in given else {}
    with pytest.raises(TightfitError, match=said):
        VERBS[verb](**given | option)


def test_a_command_names_its_option(call):
    code, _, err = call("benchmark", demo.MODEL, "--seconds", "-3")
    assert (code, err) == (2, "tightfit: Received --seconds -3.0; expected 0 or more.\n")


def test_true_and_one_number_are_told_apart():
    def verb(seed: int = 0, *, sure: bool = False) -> None: ...

    check_arguments(verb, {"seed": np.int8(3), "sure": np.False_})
    with pytest.raises(OptionError, match="Received seed=True; expected a whole number"):
        check_arguments(verb, {"seed": True})
