"""Plain data that strict JSON can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def strict(value: Any) -> Any:
    """Return plain data that strict JSON can hold: no NaN or infinity, lists for tuples, plain numbers.

    Example:
        >>> strict({"a": (1.0, float("nan"))})
        {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def json_text(value: Any) -> str:
    """Return what ``--json`` prints: strict JSON, one space a level, names as they are.

    Example:
        >>> print(json_text({"größe": 1.0}))
        {
         "größe": 1.0
        }
    """
    return json.dumps(strict(value), indent=1, ensure_ascii=False)
