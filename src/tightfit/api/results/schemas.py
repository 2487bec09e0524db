"""The schema of each document that the package writes as JSON; docs/schemas has them as files."""

from __future__ import annotations

from typing import Any

from tightfit.api.describe_data import DataDescription
from tightfit.api.results.compression_result import CompressionResult
from tightfit.api.results.finetune_result import FinetuneResult
from tightfit.api.track import Tracked
from tightfit.report.comparison.compare_runs import Comparison
from tightfit.report.schema import SCHEMAS, document, object_of, schema_of


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by the command whose ``--json`` it describes, and ``report`` for report.json.

    Example:
        >>> schemas()["data"]["properties"]["count"]
        {'type': 'integer'}
    """
    accuracy = {"type": "object", "required": ["metric", "value", "n"]}
    both = {"anyOf": [{"type": "array", "items": accuracy}, {"type": "null"}]}
    pruned = object_of(CompressionResult, without=["accuracy"])
    pruned["properties"] |= {"accuracy": both, "snr_db": schema_of(float | None)}
    own = {
        "compare": object_of(Comparison),
        "data": object_of(DataDescription),
        "track": object_of(Tracked),
        "prune": pruned,
        "cluster": pruned,
        "finetune": object_of(
            FinetuneResult,
            without=["keras_model"],
            more={"original": accuracy, "accuracy": accuracy, "options": {}},
        ),
    }
    made = {name: make() for name, make in SCHEMAS.items()} | own
    return {name: document(name, schema) for name, schema in sorted(made.items())}
