"""Samples for the models of the zoo: made from a seed, shaped like what the model was trained on.

Images are sums of random waves whose power falls with their frequency, as that of photos does; sound is a
sum of gliding tones with pauses and noise; features are such images around zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightfit.data.sample import InputSpec
from tightfit.types import Array

RANGES = {"image01": (0.0, 1.0), "image11": (-1.0, 1.0), "image255": (0.0, 255.0), "features": (-1.0, 3.0)}


def make_samples(kind: str, inputs: Sequence[InputSpec], count: int, seed: int = 0) -> dict[str, Array]:
    """Return arrays by input name, the samples on the first axis.

    Args:
        kind: ``image01``, ``image11``, ``image255``, ``features``, ``audio`` (−1 … 1), ``audio16`` (16 bits)
            or ``bytes`` (whole numbers 0 … 255).
        inputs: of the model; the first carries the samples' kind, floats beside it are small noise (a state).
        count: number of samples.
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for place, spec in enumerate(inputs):
        shape = [abs(d) for d in spec.sample_shape]
        if place and spec.dtype == "float32":
            made[spec.name] = generator.normal(0, 0.1, (count, *shape)).astype(np.float32)
        elif spec.dtype.startswith(("int", "uint")) and not spec.is_quantized:
            made[spec.name] = generator.integers(0, 256, (count, *shape)).astype(spec.dtype)
        else:
            made[spec.name] = np.stack([_sample(kind, shape, generator) for _ in range(count)])
    return made


def _sample(kind: str, shape: Sequence[int], generator: np.random.Generator) -> Array:
    if kind == "bytes":
        return generator.integers(0, 256, shape).astype(np.float32)
    if kind.startswith("audio"):
        sound = _sound(int(np.prod(shape)), generator).reshape(shape)
        return (sound * (32767 if kind == "audio16" else 1)).astype(np.float32)
    low, high = RANGES[kind]
    field = _field(shape, generator)
    return (low + (high - low) * field).astype(np.float32)


def _field(shape: Sequence[int], generator: np.random.Generator) -> Array:
    """Noise whose amplitude falls with frequency over the two largest axes, within 0 … 1."""
    noise = generator.normal(0, 1, shape)
    axes = sorted(np.argsort(shape)[-2:].tolist()) if len(shape) > 1 else [0]
    spectrum = np.fft.fftn(noise, axes=axes)
    frequency = np.zeros(shape)
    for axis in axes:
        one = np.fft.fftfreq(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        frequency = frequency + np.square(one)
    pink = np.real(np.fft.ifftn(spectrum / np.maximum(np.sqrt(frequency), 1 / max(shape)), axes=axes))
    low, high = np.percentile(pink, [1, 99])
    return np.asarray(np.clip((pink - low) / max(high - low, 1e-9), 0, 1))


def _sound(length: int, generator: np.random.Generator) -> Array:
    time = np.arange(length) / 16000
    sound = generator.normal(0, 0.01, length)
    for _ in range(4):
        begin, glide = generator.uniform(100, 3000), generator.uniform(-500, 500)
        loud = np.clip(np.sin(2 * np.pi * generator.uniform(1, 4) * time + generator.uniform(0, 6)), 0, 1)
        sound = sound + 0.2 * loud * np.sin(2 * np.pi * (begin * time + glide * time**2))
    return np.asarray(np.clip(sound, -1, 1))
