"""How good one answer is: a table of metrics, each a function and a row."""

from tightfit.evaluation.metrics.classes import class_labels, decisions, units
from tightfit.evaluation.metrics.metric import DECIBELS, LABELS_UNIT, NUMBER, SHARE, Answer, Metric
from tightfit.evaluation.metrics.metric_table import METRICS, find_metric
from tightfit.evaluation.metrics.values import MOST_DB, cosine, decibels, powers

__all__ = [
    "DECIBELS",
    "LABELS_UNIT",
    "METRICS",
    "MOST_DB",
    "NUMBER",
    "SHARE",
    "Answer",
    "Metric",
    "class_labels",
    "cosine",
    "decibels",
    "decisions",
    "find_metric",
    "powers",
    "units",
]
