"""Quantization-aware training of a Keras model: from ``demo.keras`` to an int8 ``.tflite``.

    pip install 'tightfit[keras]'
    python examples/finetune_keras.py

Batch norm is folded before the training begins, and every fake-quantizer stands where the integer kernel
rounds: what is trained is what ships.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tightfit

MODEL = Path(__file__).with_name("demo.keras")


def main() -> None:
    """Trains and prints what it came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", default="finetuned.tflite")
    parser.add_argument("--scheme", default="int8")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    wanted = tightfit.FinetuneOptions(scheme=options.scheme, epochs=options.epochs)
    result = tightfit.finetune(MODEL, "tightfit.demo:calibration", options.output, wanted)
    for name, accuracy, size in (
        ("float", result.original, result.before),
        (options.scheme, result.accuracy, result.footprint),
    ):
        print(f"{name:<8}{accuracy.value:.1%} of {accuracy.n}, {size.size_bytes:,} bytes")
    print(f"drop {accuracy.drop:.1%}, 95 % interval {accuracy.drop_low:.1%} to {accuracy.drop_high:.1%}")


if __name__ == "__main__":
    main()
