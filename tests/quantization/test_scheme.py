from __future__ import annotations

import pytest

from tightfit.errors import OptionError
from tightfit.quantization.scheme import SCHEMES, find_scheme


def test_the_integer_schemes_alone_need_data():
    assert {name for name, scheme in SCHEMES.items() if scheme.needs_data} == {"int8", "int16x8", "int8x4"}


def test_an_unknown_scheme_is_refused_with_the_closest():
    with pytest.raises(OptionError, match=r"Unknown scheme 'int7'.*Did you mean 'int8'"):
        find_scheme("int7")


@pytest.mark.parametrize(
    ("scheme", "interface"),
    [("int8", "int8"), ("int8", "uint8"), ("int16x8", "int16"), ("float16", "float32")],
)
def test_inputs_and_outputs_take_the_types_of_the_scheme(scheme, interface):
    assert find_scheme(scheme, interface).interface == interface


@pytest.mark.parametrize(
    ("scheme", "interface", "words"),
    [
        (
            "int8",
            "int16",
            "takes float32 or int8 or uint8 as the type of inputs and outputs; received 'int16'",
        ),
        ("int16x8", "uint8", "received 'uint8'"),
        ("dynamic", "int8", "The scheme 'dynamic' takes float32 as"),
        ("int8", "float64", "Unknown input/output type 'float64'"),
    ],
)
def test_other_types_are_refused_with_what_was_received(scheme, interface, words):
    with pytest.raises(OptionError, match=words):
        find_scheme(scheme, interface)
