"""What the activations show: ranges that move, that one sample sets, that evaluation leaves; dead parts."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tightfit.diagnosis.doctor.evidence import ERROR, WARNING, Evidence, Finding
from tightfit.units import format_percent

GROWN: Final = 0.10
"""A tensor's range still moves when one half of the samples misses this share of its width."""

_MOVING: Final = 0.5
_LONE: Final = 1.5
_LONE_SHARE: Final = 0.25
_LONE_FEWEST: Final = 8
_BEYOND: Final = 0.25
_BEYOND_SHARE: Final = 0.25
_DEAD: Final = 0.3
_ONE_VALUE: Final = 1e-6
_SATURATED: Final = 0.9
_OUTPUT_FEWEST: Final = 2


def few_samples(evidence: Evidence) -> Finding | None:
    """Half of the tensors would have a range more than 10 % narrower with half of the samples."""
    tensors, count = evidence.tensors, len(evidence.samples)
    if not tensors or not count:
        return None
    moving = sum(t.growth > GROWN for t in tensors) / len(tensors)
    if count > 1 and moving <= _MOVING:
        return None
    words = (
        f"{format_percent(moving)} of {len(tensors)} activation ranges are more than "
        f"{format_percent(GROWN, 0)} wider with {count} samples than with half of them."
    )
    return Finding(
        "few_samples",
        words if count > 1 else "One sample calibrates; how far the ranges would still grow cannot be seen.",
        "Values that were not seen will be cut off at the end of the range.",
        f"Calibrate with more samples: {max(4 * count, 100)}.",
        {"moving": moving if count > 1 else 1.0, "tensors": len(tensors), "samples": count},
    )


def outlier_sample(evidence: Evidence) -> Finding | None:
    """One sample alone widens a quarter of the ranges to 1.5 times and more."""
    if len(evidence.samples) < _LONE_FEWEST or not evidence.tensors:
        return None
    wide = [t for t in evidence.tensors if t.lone_ratio >= _LONE]
    position, count = max(
        Counter(t.lone_sample for t in wide).items(), key=lambda item: item[1], default=(0, 0)
    )
    share = count / len(evidence.tensors)
    if share < _LONE_SHARE or position >= len(evidence.samples):
        return None
    sample = evidence.samples[position]
    ratios = sorted(t.lone_ratio for t in wide if t.lone_sample == position)
    ratio = min(ratios[len(ratios) // 2], 1e6)
    return Finding(
        "outlier_sample",
        f"{sample.name or f'Sample {sample.index}'} alone sets the range of {count} of "
        f"{len(evidence.tensors)} activations, by a median of {ratio:.1f} times.",
        f"All other samples use {format_percent(1 / ratio)} of the integer steps there.",
        "Look at the sample; remove it when it is broken, else calibrate with --observer percentile.",
        {"index": sample.index, "tensors": count, "share": share, "median_ratio": ratio},
        ERROR if ratio >= 4 else WARNING,
    )


def dead_channels(evidence: Evidence) -> Finding | None:
    """A third of the channels of the model, or of a large layer, never change."""
    channels = sum(t.channels for t in evidence.tensors)
    dead = sum(t.dead for t in evidence.tensors)
    worst = max(
        (t for t in evidence.tensors if t.channels >= 8), key=lambda t: t.dead / t.channels, default=None
    )
    if worst is None or (dead < _DEAD * channels and worst.dead < 0.5 * worst.channels):
        return None
    if worst.dead == 0:
        return None
    return Finding(
        "dead_channels",
        f"{dead} of {channels} channels have one value in all samples; most in '{worst.name}', {worst.dead} "
        f"of {worst.channels}.",
        "Either the model has parts that do nothing, or these samples do not reach them and calibration "
        "cannot give them a range.",
        "Calibrate with more varied samples; channels that stay dead can be pruned.",
        {
            "dead": dead,
            "channels": channels,
            "share": dead / channels,
            "worst_share": worst.dead / worst.channels,
        },
    )


def bad_output(evidence: Evidence) -> Finding | None:
    """The float model itself answers NaN or infinity."""
    found = [o for o in evidence.outputs if o.bad]
    if not found:
        return None
    worst = max(found, key=lambda o: o.bad)
    return Finding(
        "bad_output",
        f"The float model answers NaN or infinity in output '{worst.name}' for {worst.bad} of "
        f"{worst.samples} samples.",
        "Such activations have no range, and no accuracy can be measured.",
        "Check the range of the inputs and the float model.",
        {"samples": worst.bad, "share": worst.bad / worst.samples},
        ERROR,
    )


def constant_output(evidence: Evidence) -> Finding | None:
    """An output is the same whatever the input."""
    different = len({s.digest for s in evidence.samples})
    outputs = [o for o in evidence.outputs if o.samples - o.bad >= _OUTPUT_FEWEST]
    found = [o for o in outputs if o.variation <= _ONE_VALUE]
    if not found or different < _OUTPUT_FEWEST:
        return None
    return Finding(
        "constant_output",
        f"Output '{found[0].name}' of the float model changes by {found[0].variation:.1e} of its size over "
        f"{different} different samples.",
        "The input does not reach the output: it is saturated, dead, or not what the model takes.",
        "Check the range of the inputs and the float model.",
        {"variation": found[0].variation, "samples": different},
        ERROR,
    )


def saturated_output(evidence: Evidence) -> Finding | None:
    """Nine in ten answers consist of -1, 0 and 1 only."""
    found = [o for o in evidence.outputs if o.samples >= _LONE_FEWEST and o.variation > _ONE_VALUE]
    found = [o for o in found if o.saturated >= _SATURATED * o.samples]
    if not found:
        return None
    first = found[0]
    return Finding(
        "saturated_output",
        f"Every entry of output '{first.name}' is -1, 0 or 1 within 1e-6 for {first.saturated} of "
        f"{first.samples} samples.",
        "The activation before it is driven far beyond its useful range, often by inputs that are too large.",
        "Check the range of the inputs; compare with what the model was trained on.",
        {"saturated": first.saturated, "samples": first.samples, "share": first.saturated / first.samples},
    )


def beyond_calibration(evidence: Evidence) -> Finding | None:
    """Evaluation samples leave a quarter of the calibrated ranges by more than a quarter of their width."""
    held = evidence.held_out
    if held is None or not held.excess:
        return None
    beyond = sorted((e for e in held.excess.values() if e > _BEYOND), reverse=True)
    share = len(beyond) / len(held.excess)
    if share < _BEYOND_SHARE:
        return None
    name, most = max(held.excess.items(), key=lambda item: item[1])
    return Finding(
        "beyond_calibration",
        f"{held.samples} evaluation samples leave {len(beyond)} of {len(held.excess)} calibrated ranges by "
        f"more than {format_percent(_BEYOND, 0)}, '{name}' by {format_percent(min(most, 1e4), 0)}.",
        "What lies beyond the calibrated range is cut off, so accuracy falls on these samples.",
        "Calibrate with samples of the same kind, prepared in the same way.",
        {"tensors": len(beyond), "share": share, "largest_excess": min(most, 1e4), "samples": held.samples},
    )
