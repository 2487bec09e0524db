"""What can be counted in the weights of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import dense_values

_SMALLEST_WEIGHT: Final = 256


def weight_facts(path: Path) -> tuple[float, int]:
    """Gives the share of zeros in the large weights of a file, and the most distinct values in one."""
    zeros = total = values = 0
    for tensor in (t for g in read_model(path).graphs for t in g.tensors() if t.is_constant):
        weighs = tensor.dtype in ("float32", "int8", "int4", "float16") and len(tensor.shape) > 1
        if not weighs or tensor.size < _SMALLEST_WEIGHT:
            continue  # biases and tables are no weights
        data = dense_values(tensor)
        zeros += int((data == 0).sum())
        total += data.size
        values = max(values, np.unique(data).size)
    return zeros / max(total, 1), values
