"""Options on weights that several commands share: sparsity, centroids, the form of the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tightfit.api.parameters.shrink_options import ShrinkOptions
from tightfit.cli.options.choices import INITIAL, LAYOUTS, PATTERNS, PER, SCHEMES, SCOPES, TYPES, Names
from tightfit.cli.options.shared_options import json_option, metric_option, provenance_option, seed_option
from tightfit.data.images.image_options import ImageOptions

F = TypeVar("F", bound=Callable[..., Any])

_OWN = ("layout", "interface", "scheme", "calibration", "seed", "provenance", "metric")

interface_option = click.option(
    "--io",
    "interface",
    type=Names("input/output type", TYPES),
    default="float32",
    show_default=True,
    help="Type of model inputs and outputs: float32, int8, uint8 …",
)

layout_option = click.option(
    "--layout",
    type=Names("layout", LAYOUTS),
    default="cpu",
    show_default=True,
    help="File layout: cpu, npu or micro.",
)


def sparsity_options(patterns: str) -> Callable[[F], F]:
    """Add ``--sparsity``, ``--pattern`` and ``--scope``.

    Args:
        patterns: the patterns that the command takes, for the help.
    """
    options = (
        click.option("--sparsity", type=float, help="Fraction of zeros in the pruned weights: 0.8 is 80 %."),
        click.option(
            "--pattern",
            type=Names("pattern", PATTERNS, more=True),
            default="unstructured",
            show_default=True,
            help=f"Pattern of the zeros: {patterns}.",
        ),
        click.option(
            "--scope",
            type=Names("scope", SCOPES),
            default="file",
            show_default=True,
            help="What has the sparsity: file (all weights in tensors of 256 elements or more), layer (each "
            "pruned layer) or global (the pruned layers together).",
        ),
    )
    return _together(*options)


def centroid_options(function: F) -> F:
    """Add ``--per`` and ``--initial``."""
    per = click.option(
        "--per",
        type=Names("scope of clusters", PER),
        default="tensor",
        show_default=True,
        help="Scope that shares the centroids: tensor or channel.",
    )
    initial = click.option(
        "--initial",
        type=Names("start of centroids", INITIAL),
        default="kmeans++",
        show_default=True,
        help="Centroid initialization: kmeans++, linear or density.",
    )
    return per(initial(function))


def compressed_file_options(function: F) -> F:
    """Add the options of a file with zeros or shared values, and ``--json``."""
    scheme = click.option(
        "--scheme",
        type=Names("scheme", ("float", *SCHEMES)),
        default="float",
        show_default=True,
        help="Scheme of the file: float, or a quantization scheme.",
    )
    calibration = click.option(
        "--calibration",
        default=100,
        show_default=True,
        type=click.IntRange(2),
        help="Number of calibration samples.",
    )
    options = (
        scheme, interface_option, layout_option, calibration, metric_option, provenance_option, seed_option,
        json_option,
    )  # fmt: skip
    return _together(*options)(function)


def compression_options(options: dict[str, Any]) -> ShrinkOptions:
    """Return what ``compressed_file_options`` and ``data_options`` read."""
    image = ImageOptions.parse(options["image"]) if options["image"] else None
    return ShrinkOptions(data=options["data"], image=image, **{name: options[name] for name in _OWN})


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, which the help lists in their order."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add
