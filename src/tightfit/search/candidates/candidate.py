"""A candidate: one model file with everything that was measured about it.

Plain data that goes to JSON and back. A measurement that was not made is None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from tightfit.errors import DataError
from tightfit.plain_values import strict

ORIGINAL_SCHEME = "float32"

Interval = tuple[float, float]

_FIRST_KEYS: Final = (
    "name", "scheme", "steps", "path", "size_bytes", "compressed_bytes", "peak_memory_bytes", "latency_ms",
    "latency_ratio", "accuracy", "drop", "drop_interval", "agreement", "targets", "meets_budget", "reasons",
)  # fmt: skip
"""The order in which ``report.json`` begins a candidate, whatever stage a key is of."""


@dataclass(frozen=True)
class FloatOp:
    """An op that stayed in float: its name, its kind (``SOFTMAX``) and why, in plain words."""

    op: str
    kind: str
    reason: str


@dataclass(frozen=True)
class PlanSummary:
    """How the ops of a candidate run: how many on integers, how many in float, and why those.

    Args:
        integer_ops: ops that compute on integers.
        float_ops: ops that compute in float.
        left_in_float: the float ops that the scheme wanted on integers, in graph order.
    """

    integer_ops: int = 0
    float_ops: int = 0
    left_in_float: list[FloatOp] = field(default_factory=list)


@dataclass(frozen=True)
class LayerError:
    """What one op's output differs from the float model's: ``10·log10(signal power / error power)`` in dB.

    ``snr_db`` is None where the output is exact or was not measured. Listed in graph order.
    """

    name: str
    kind: str
    snr_db: float | None


@dataclass(frozen=True)
class TargetVerdict:
    """What a target makes of a candidate.

    Args:
        fits: True when the target takes the file as it is asked to.
        accelerated: share of the MACs that the accelerator runs, 0–1, or None.
        latency_ms: the target's own estimate, or None.
        reasons: what falls back or is refused, and why.
        memory_bytes: what has to fit into the target's memory, at least, or None.
        tool: what the target's own compiler or interpreter says, in sentences.
        ops: verdict of each op: ``op``, ``kind``, ``macs``, ``accelerated``, ``reason``, ``fix``.
    """

    fits: bool
    accelerated: float | None = None
    latency_ms: float | None = None
    reasons: list[str] = field(default_factory=list)
    memory_bytes: int | None = None
    tool: list[str] = field(default_factory=list)
    ops: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """The first stage: a file, and what is known of it without running it.

    Args:
        name: unique in a report, a word for tables (``int8+bias``).
        scheme: ``float32``, ``float16``, ``weight8``, ``dynamic``, ``int8``, ``int16x8``, ``weight4`` …
        steps: what was done to the original, in order, in plain words; empty for the original only.
        path: the file, relative to the report where possible; None when none was written.
        size_bytes: of the file.
        compressed_bytes: of the file packed, by packer (``zip``, ``zstd``).
        targets: verdict by target name.
        interface: dtype of the model's inputs and outputs, the narrowest where they differ.
        layout: for which kind of machine the file is written (``cpu``, ``npu``, ``micro``), or None.
        failure: why it could not be made or measured, or None. A failed candidate is never chosen.
        plan_summary: how its ops run.
        sha256: of the file, as hexadecimal digits.
    """

    name: str
    scheme: str
    steps: Sequence[str] = ()
    path: str | None = None
    size_bytes: int | None = None
    compressed_bytes: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, TargetVerdict] = field(default_factory=dict)
    interface: str = ORIGINAL_SCHEME
    layout: str | None = None
    failure: str | None = None
    plan_summary: PlanSummary | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Measured:
    """The second stage: the file beside the original float model; None is what was not measured.

    Args:
        peak_memory_bytes: of the process that ran it.
        latency_ms: median of a call.
        latency_ratio: to the original, interleaved with it in the same run.
        latency_interval: the 95 % interval of that ratio.
        accuracy: mean of the metric, 0–1 for shares.
        drop: how much worse the metric is than the original's: positive is a loss.
        drop_interval: its 95 % interval, paired by sample.
        agreement: share of samples with the same decision as the original, 0–1.
        snr_db: of the outputs against the original's.
        metric: what ``accuracy`` and ``drop`` are, by its name in ``evaluation.metrics``.
        layer_error: of each op, in graph order.
        scored_samples: how many its accuracy is of, where it was given up before the end.
        metrics: every metric by its name: ``value``, ``change`` (negative is worse), ``interval`` of the
            change, ``n``.
        gain: what recovery brought over the plain candidate named ``over``: differences of ``agreement``,
            ``drop`` and ``snr_db``; empty without recovery.
        outputs: of each output ``name``, ``snr_db``, ``worst_slice`` (``name``, ``axis``, ``begin``, ``end``,
            ``snr_db``, ``distinct``), ``samples``, and ``lost`` with a sentence where it is of no use.
        latency_percentiles: percentile, such as ``"95"``, → ms of a call, over all timed calls.
        devices: board → ``latency_ms``, ``latency_ratio``, ``latency_interval``, ``peak_memory_bytes``,
            ``failure``, see ``search.devices``.
    """

    peak_memory_bytes: int | None = None
    latency_ms: float | None = None
    latency_ratio: float | None = None
    latency_interval: Interval | None = None
    accuracy: float | None = None
    drop: float | None = None
    drop_interval: Interval | None = None
    agreement: float | None = None
    snr_db: float | None = None
    metric: str = "top1"
    layer_error: Sequence[LayerError] = ()
    scored_samples: int | None = None
    metrics: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    gain: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[dict[str, Any]] = ()
    devices: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    latency_percentiles: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """The third stage: the verdict of ``choice.judge`` under a budget.

    Args:
        meets_budget: None where nobody knows: too few samples, or an accuracy that was not measured.
        reasons: why the budget is not met.
        beaten_by: the candidate that is preferred whatever the accuracy is, which was not measured then.
        evidence: what the verdict rests on, see ``search.verdict.evidence``.
    """

    meets_budget: bool | None = None
    reasons: Sequence[str] = ()
    beaten_by: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate(Judged, Measured, Made):
    """A model file in its three stages; each stage returns a new candidate and changes none.

    Example:
        >>> made = Candidate("int8", "int8", ["int8"], size_bytes=5)
        >>> made.with_step("layout: cpu").steps
        ('int8', 'layout: cpu')
    """

    def __post_init__(self) -> None:
        for name in ("steps", "layer_error", "outputs", "reasons"):
            if isinstance(getattr(self, name), list):  # anything else stays, for a reader to refuse
                object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def is_original(self) -> bool:
        """True for the float model that everything is compared with.

        Example:
            >>> Candidate("float", "float32").is_original, Candidate("int8", "int8", ["int8"]).is_original
            (True, False)
        """
        return self.scheme == ORIGINAL_SCHEME and not self.steps

    def with_step(self, *steps: str) -> Candidate:
        """Return the candidate with more words on what was done."""
        return replace(self, steps=(*self.steps, *steps))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for strict JSON: fields in order, None where a number is not finite.

        Example:
            >>> Candidate("a", "int8", snr_db=float("inf")).to_dict()["snr_db"] is None
            True
        """
        plain: dict[str, Any] = strict(asdict(self))
        return {key: plain[key] for key in (*_FIRST_KEYS, *(k for k in plain if k not in _FIRST_KEYS))}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Candidate:
        """Return the candidate back from ``to_dict``; keys of a newer version are passed over.

        Raises:
            DataError: when ``plain`` is no candidate.
        """
        try:
            known = {k: v for k, v in plain.items() if k in cls.__dataclass_fields__}
            for key in ("drop_interval", "latency_interval"):
                known[key] = _interval(known.get(key))
            known["targets"] = {k: TargetVerdict(**v) for k, v in known.get("targets", {}).items()}
            known["plan_summary"] = _plan_summary(known.get("plan_summary"))
            known["layer_error"] = [LayerError(**e) for e in known.get("layer_error", [])]
            return cls(**known)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"A candidate of the report cannot be read ({error}); expected an object with the keys that "
                "`tightfit optimize` writes. Run it again to make a new report.",
            ) from error


def _interval(plain: Sequence[float | None] | None) -> Interval | None:
    """The interval back from plain data; None when an end was not finite."""
    low, high = (None, None) if plain is None else plain
    return None if low is None or high is None else (float(low), float(high))


def _plan_summary(plain: Mapping[str, Any] | None) -> PlanSummary | None:
    """The summary back from plain data."""
    if plain is None:
        return None
    left = [FloatOp(**op) for op in plain["left_in_float"]]
    return PlanSummary(plain["integer_ops"], plain["float_ops"], left)
