"""The table of metrics: one row each, in the files of their kinds."""

from __future__ import annotations

import copyreg
from dataclasses import replace
from typing import Any, Final

from tightfit.evaluation.metrics import classes, detection, images, points, retrieval, sequences, values
from tightfit.evaluation.metrics.metric import Metric

_KINDS: Final = (
    ("classes", classes), ("boxes", detection), ("values", values), ("image", images), ("points", points),
    ("sequence", sequences), ("embedding", retrieval),
)  # fmt: skip

METRICS: Final[dict[str, Metric]] = {
    row.name: replace(row, reads=kind) for kind, module in _KINDS for row in module.ROWS
}
"""Every metric by its name; ``reads`` is the kind of labels that its file is for."""

OLDER_NAMES: Final = {"snr_db": "snr"}
"""Names that earlier releases took."""


def _by_name(metric: Metric) -> Any:
    """How a metric travels to another process: by its name, as its functions may be lambdas."""
    if METRICS.get(metric.name) == metric:
        return find_metric, (metric.name,)
    return metric.__reduce_ex__(2)


copyreg.pickle(Metric, _by_name)


def find_metric(name: str) -> Metric | None:
    """Return the row of a name, an older one included; None for an unknown one.

    Example:
        >>> find_metric("snr_db").name, find_metric("rmse").higher_is_better
        ('snr', False)
    """
    return METRICS.get(OLDER_NAMES.get(name, name))
