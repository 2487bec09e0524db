"""Outputs of a model on LiteRT, and the noise between outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.graph.format.temporary_files import temporary_file
from tightfit.graph.ir import Model
from tightfit.runtime.child.process import cores
from tightfit.runtime.session import Session
from tightfit.types import Array

Inputs = Mapping[str, Array]

LOST: Final = 4.0
"""Largest noise of a sample, of an output that is unrelated to the wanted one."""


def outputs_of(model: Model, samples: Sequence[Inputs]) -> Iterator[list[Array]]:
    """Yield the outputs of each sample as float64, in signature order.

    Raises:
        RuntimeFailureError: LiteRT cannot run the model.
        DataError: a sample does not fit.
    """
    for named in named_outputs_of(model, samples):
        yield list(named.values())


def named_outputs_of(model: Model, samples: Sequence[Inputs]) -> Iterator[dict[str, Array]]:
    """Yield the same by name.

    Raises:
        RuntimeFailureError, DataError: see ``outputs_of``.
    """
    with temporary_file(model) as path, Session(path, threads=min(cores(), 2), shared=True) as session:
        fitted = (adapt_inputs(Sample(dict(s)), session.inputs) for s in samples)
        for results in session.run_many(fitted):
            yield {spec.name: np.asarray(results[spec.name], np.float64) for spec in session.outputs}


def noise_share(wanted: Sequence[Sequence[Array]], got: Sequence[Sequence[Array]]) -> float:
    """Return the noise as a fraction of the power: ``Σ |y − ŷ|² / Σ |y|²`` over samples and outputs.

    Example:
        >>> noise_share([[np.array([3.0, 4.0])]], [[np.array([3.0, 4.5])]])
        0.01
    """
    pairs = list(zip(wanted, got, strict=True))
    lost = sum(_power([a - b for a, b in zip(x, y, strict=True)]) for x, y in pairs)
    return lost / max(sum(_power(x) for x, _ in pairs), 1e-30)


def tensor_noise(wanted: Iterable[Sequence[Array]], got: Iterable[Sequence[Array]]) -> float:
    """Return the sum over tensors of ``Σ |y − ŷ|² / Σ |y|²``, each over all samples.

    Example:
        >>> tensor_noise([[np.array([3.0, 4.0])]], [[np.array([3.0, 4.5])]])
        0.01
    """
    lost: dict[int, float] = {}
    power: dict[int, float] = {}
    for one, other in zip(wanted, got, strict=True):
        for i, (y, z) in enumerate(zip(one, other, strict=True)):
            lost[i] = lost.get(i, 0.0) + float(np.square(y - z, dtype=np.float64).sum())
            power[i] = power.get(i, 0.0) + float(np.square(y, dtype=np.float64).sum())
    return sum(lost[i] / max(power[i], 1e-30) for i in lost)


def sample_noise(wanted: Sequence[Sequence[Array]], got: Sequence[Sequence[Array]]) -> float:
    """Return the mean over samples of each sample's relative noise, at most 4 each.

    Every sample has equal weight, whatever its power. Powers below a thousandth of the mean count as that;
    NaN counts as 4.

    Example:
        >>> quiet, loud = [np.array([1.0])], [np.array([10.0])]
        >>> round(sample_noise([quiet, loud], [[np.array([0.0])], loud]), 3)
        0.5
    """
    least = 1e-3 * sum(_power(x) for x in wanted) / max(len(wanted), 1)
    shares = []
    for x, y in zip(wanted, got, strict=True):
        share = _power([a - b for a, b in zip(x, y, strict=True)]) / max(_power(x), least, 1e-30)
        # An output that is unrelated to the wanted one, or NaN, has the largest noise.
        shares.append(min(share, LOST) if math.isfinite(share) else LOST)
    return sum(shares) / max(len(shares), 1)


def _power(arrays: Sequence[Array]) -> float:
    return float(sum(np.square(a).sum() for a in arrays))
