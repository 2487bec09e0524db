"""How every number of a report was measured, in sentences that stand in the report itself."""

from __future__ import annotations

from typing import Final

from tightfit.search.verdict.choice import CHOICE_RULE

METHODS: Final[dict[str, str]] = {
    "Choice": CHOICE_RULE,
    "Accuracy": (
        "Every candidate and the original answer the same samples, none of which calibrated anything. A "
        "change is paired by sample and negative where a candidate is worse, whatever the metric. Its 95 % "
        "interval "
        "is Tango's score interval where each sample is right or wrong, and a bootstrap interval "
        "otherwise, for "
        "metrics of all samples together of resampled samples, the same ones for both models. An interval "
        "that "
        "contains 0 means that the samples do not show a difference."
    ),
    "Evidence": (
        "A candidate fits where the samples are enough to say so: where the interval of each limited "
        "metric lies "
        "within its limit, unless the estimate was asked for (--judge estimate). Where they are too few, "
        "the report "
        "says how many would do if the shares stay as they are. Without labels agreement or a cosine with "
        "the "
        "original stands in; it cannot show whether the original is right."
    ),
    "Agreement": (
        "The share of samples on which a candidate decides as the original does, right or wrong. It needs no "
        "labels, and shows changes that accuracy hides."
    ),
    "Latency": (
        "The median time of a call in LiteRT on this machine. A candidate and the original take turns in "
        "the same run, and the ratio is formed turn by turn, so that a busy moment of the machine hits both "
        "alike. Compare ratios: the milliseconds of two candidates come from different moments. On another "
        "machine both differ."
    ),
    "Memory": "The most memory that the process which ran the file held, Python and LiteRT included.",
    "Size": "The file as it is on disk; packed, as a zip archive (deflate 6) and a zstd frame (level 12).",
    "Error per layer": (
        "The signal-to-noise ratio of each op's output against the float model's, in dB, with the error of "
        "everything before it included: 20 dB means that the error has a hundredth of the signal's power."
    ),
    "Pareto front": (
        "A candidate is on the front when no other is at least as small, as accurate and as fast, and better "
        "in one. Latency ratios in the same 2 % step count as equal."
    ),
}
