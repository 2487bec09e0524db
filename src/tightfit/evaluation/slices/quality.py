"""How good each output is, slice by slice: the worst decides, and a lost one is named."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from tightfit.evaluation.slices.output_quality import GOOD_DB, MOST_DB, OutputQuality, SliceQuality
from tightfit.streaming.slice_sums import SliceFacts, SliceSums
from tightfit.units import format_decibels

LOST_DB: Final = 10.0
"""A slice whose noise is more than a tenth of its own spread's power is lost, where nothing else is known."""


LOST_DECIDED_DB: Final = 3.0
"""The same of one entry among others of its unit (a class), and of an output whose decisions or labels were
scored: the metric says the rest."""


_SHARE_OF_UNIT: Final = 0.1


_NEAR_CONSTANT: Final = 1e-5


_FEWEST: Final = 2


_FEWEST_TO_JUDGE: Final = 8
"""Fewer values say too little about a slice's spread to call it weak."""


def decibels(signal: float, noise: float) -> float:
    """Return ``10 log10(signal / noise)`` within ±200 dB.

    Example:
        >>> decibels(100.0, 1.0), decibels(1.0, 0.0)
        (20.0, 200.0)
    """
    if noise == 0:
        return MOST_DB
    return float(min(max(10 * math.log10(max(signal, 1e-300) / noise), -MOST_DB), MOST_DB))


def unsure_db(samples: int) -> float:
    """Return by how many dB a ratio of two files may differ by chance.

    The noise is a mean of squares over n samples, known to two standard errors, a fraction 2·√(2/n) of it.

    Example:
        >>> round(unsure_db(32), 2)
        1.76
    """
    return 10 * math.log10(1 + 2 * math.sqrt(2 / max(samples, 1)))


def newly_poor(before: Sequence[OutputQuality], after: Sequence[OutputQuality]) -> OutputQuality | None:
    """Return the output with a slice of its own unit that is poor in one file and better in that before it.

    Poor is below ``GOOD_DB``, and better by more than chance (``unsure_db``); None where no output is so.

    Example:
        >>> start, trained = (OutputQuality("y", 30.0, None, samples=32, own_db=db) for db in (16.1, 8.4))
        >>> newly_poor([start], [trained]).name
        'y'
    """
    known = {o.name: o.own_db for o in before}
    fallen = [o for o in after if o.own_db < min(GOOD_DB, known.get(o.name, -MOST_DB) - unsure_db(o.samples))]
    return min(fallen, key=lambda o: o.own_db, default=None)


def lower(found: Sequence[OutputQuality], judged: Sequence[OutputQuality]) -> list[OutputQuality]:
    """Return the qualities, those that fewer samples saw in the place of others where these are below good.

    Args:
        found: on all samples.
        judged: on those that fitted nothing.

    Example:
        >>> low, high = (OutputQuality("y", 30.0, None, own_db=db) for db in (17.6, 22.0))
        >>> lower([high], [low])[0].own_db
        17.6
    """
    known = {o.name: o for o in judged if o.own_db < GOOD_DB}
    return [min(o, known.get(o.name, o), key=lambda o: o.own_db) for o in found]


def qualities(sums: SliceSums, *, lost_db: float | Mapping[str, float] = LOST_DB) -> list[OutputQuality]:
    """Return the quality of each output that has real values.

    Args:
        sums: signal and error of every slice.
        lost_db: below it a slice is lost; one number, or one an output.
    """
    return [
        _quality(name, rows, sums.samples, _limit(lost_db, name))
        for name, rows in sums.facts().items()
        if rows
    ]


def _limit(limits: float | Mapping[str, float], name: str) -> float:
    return limits.get(name, LOST_DB) if isinstance(limits, Mapping) else limits


def _quality(name: str, rows: Sequence[SliceFacts], samples: int, limit: float) -> OutputQuality:
    parts_of = Counter(row.axis for row in rows if not row.is_entry)
    judged = sorted((_judge(row, limit, parts_of[row.axis]) for row in rows), key=lambda s: s.snr_db)
    whole = max(rows, key=lambda r: r.count)
    parts = [r for r in rows if r.axis == whole.axis and not r.is_entry] or [whole]
    power = sum(r.count * (r.variance + r.mean**2) for r in parts)
    noise = sum(r.count * r.noise for r in parts)
    lost, poor = tuple(s for s in judged if s.lost), tuple(s for s in judged if s.snr_db < GOOD_DB)
    own_db = min((s.snr_db for s in judged if s.own_unit), default=MOST_DB)
    return OutputQuality(name, decibels(power, noise), judged[0], lost, samples, poor, own_db)


def _judge(row: SliceFacts, limit: float, parts: int) -> SliceQuality:
    snr = MOST_DB if row.noise == 0 and not row.bad else decibels(signal_power(row), row.noise)
    if row.bad:
        snr = -MOST_DB
    why = _why_lost(row, snr, limit)
    own_unit = not row.one_unit or (parts > 1 and not row.is_entry)
    judged = own_unit and row.count >= _FEWEST_TO_JUDGE
    return SliceQuality(row.name, row.axis, row.begin, row.end, snr, row.distinct, why, row.noise, judged)


def signal_power(row: SliceFacts) -> float:
    """Return what noise is compared with: the power of the slice's spread, or of its size if constant."""
    size = max(abs(row.low), abs(row.high))
    if math.sqrt(row.variance) <= _NEAR_CONSTANT * size or row.count < _FEWEST:
        return max(row.mean**2 + row.variance, _SHARE_OF_UNIT * row.largest_variance)
    if row.one_unit:
        return max(row.variance, _SHARE_OF_UNIT * row.largest_variance)
    return row.variance


def _why_lost(row: SliceFacts, snr_db: float, limit: float) -> str:
    if row.bad:
        return f"{row.bad:,} of {row.count + row.bad:,} values are NaN or infinite"
    one_of_many = row.one_unit and row.is_entry
    if snr_db >= (min(limit, LOST_DECIDED_DB) if one_of_many else limit) or not math.isfinite(row.low):
        return ""
    span = f"{row.low:.4g}–{row.high:.4g}" if row.high > row.low else f"{row.low:.4g}"
    if row.got_low == row.got_high:
        return f"one value, {row.got_low:.4g}, float {span}"
    if row.distinct is not None and row.distinct <= 4:
        return f"{row.distinct} values, {row.got_low:.4g}–{row.got_high:.4g}, float {span}"
    return f"{format_decibels(snr_db)} against its own spread, float {span}"
