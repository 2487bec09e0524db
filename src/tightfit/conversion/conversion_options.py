"""The options of a conversion. Nothing here imports a framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tightfit.errors import OptionError, unknown_name

BACKENDS: Final = ("auto", "jax", "tensorflow", "torch")
RECURRENT: Final = ("fused", "unrolled")


@dataclass(frozen=True)
class ConversionOptions:
    """How a model is converted.

    Args:
        trust: run code that the file names or holds (Lambda layers, custom classes of other modules).
        batch: samples in a call; None leaves it free (-1 in the file).
        shapes: input name (``""`` for the only one) → whole shape with the batch, where the model has none.
        signature: of a SavedModel with several: only this one.
        backend: of Keras: ``jax``, ``tensorflow``, ``torch``, or ``auto``: JAX, then the others that the
            model needs.
        channel_last: image inputs of torch and ONNX models become NHWC instead of NCHW, and with them an ONNX
            model's outputs that are images.
        held: input name → the number that an ONNX input always has; the file has no such input.
        trace_batch: trace a free batch through JAX, which writes arithmetic on shapes into the file; without,
            that is done only where the file for one sample cannot be freed.
        uint8: ``(mean, std)``: inputs of three or four dimensions take bytes, the file computes
            ``(x - mean) / std`` itself.
        recurrent: ``fused``: an LSTM is one op where the op computes the same; ``unrolled``: every step of it
            is written out, for devices that refuse variables.
        as_text: hand StableHLO over as text, where the converter does not read its bytecode.

    Raises:
        OptionError: a value is not one of these.
    """

    trust: bool = False
    batch: int | None = 1
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signature: str | None = None
    backend: str = "auto"
    channel_last: bool = False
    held: Mapping[str, float] = field(default_factory=dict)
    uint8: tuple[float, float] | None = None
    trace_batch: bool = False
    recurrent: str = "fused"
    as_text: bool = False

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise OptionError(unknown_name("Keras backend", self.backend, BACKENDS))
        if self.recurrent not in RECURRENT:
            raise OptionError(unknown_name("form of recurrent layers", self.recurrent, RECURRENT))
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"Received the batch {self.batch}; expected 1 or more, or 'dynamic'.")
        if self.uint8 is not None and self.uint8[1] == 0:
            raise OptionError("Received std=0; expected the number that the bytes are divided by.")

    def plain(self) -> dict[str, object]:
        """Return the options as JSON can hold them; ``ConversionOptions.of`` reads it."""
        return asdict(self) | {"shapes": {name: list(shape) for name, shape in self.shapes.items()}}

    @classmethod
    def of(cls, plain: Mapping[str, object]) -> ConversionOptions:
        """Return the options of ``plain``'s result."""
        read: dict[str, Any] = dict(plain)
        shapes = {name: tuple(shape) for name, shape in read["shapes"].items()}
        uint8 = None if read["uint8"] is None else tuple(read["uint8"])
        return cls(**{**read, "shapes": shapes, "uint8": uint8})

    def shape_of(self, name: str, known: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
        """Return the shape of an input: the user's, else the known one with the wanted batch."""
        given = self.shapes.get(name, self.shapes.get(""))
        if given is not None:
            return given
        if not known:
            return known
        return (self.batch if known[0] is None else known[0], *known[1:])
