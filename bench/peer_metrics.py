"""The reference implementations of metrics, on arrays that ``metrics.py`` made.

Run by ``metrics.py`` in an environment of its own: scikit-learn, pycocotools, torchmetrics, jiwer and
scikit-image.
"""

# ruff: noqa: PLC0415 - each library is loaded by the function that asks it

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from typing import Any

import numpy as np


def classes(a: Any) -> dict[str, float]:
    """Classification by scikit-learn."""
    from sklearn import metrics as sk

    decided, wanted = a["scores"].argmax(1), a["classes"]
    one = a["unit"][:, 0] > 0.5
    several, marks = a["several_scores"] > 0.5, a["several"]
    return {
        "top1": sk.accuracy_score(wanted, decided),
        "top5": sk.top_k_accuracy_score(wanted, a["scores"], k=5, labels=np.arange(a["scores"].shape[1])),
        "f1": sk.f1_score(wanted, decided, average="macro"),
        "f1(micro)": sk.f1_score(wanted, decided, average="micro"),
        "precision": sk.precision_score(wanted, decided, average="macro", zero_division=0),
        "recall": sk.recall_score(wanted, decided, average="macro", zero_division=0),
        "precision(micro)": sk.precision_score(wanted, decided, average="micro"),
        "recall(micro)": sk.recall_score(wanted, decided, average="micro"),
        "agreement": sk.accuracy_score(a["original"].argmax(1), decided),
        "f1 of one unit": sk.f1_score(a["binary"], one),
        "f1 of several classes": sk.f1_score(marks, several, average="macro"),
        "f1(micro) of several classes": sk.f1_score(marks, several, average="micro"),
        "auc": sk.roc_auc_score(wanted, a["scores"], multi_class="ovr"),
        "auc of one unit": sk.roc_auc_score(a["binary"], a["unit"][:, 0]),
    }


def values(a: Any) -> dict[str, float]:
    """Regression by scikit-learn."""
    from sklearn import metrics as sk

    wanted, found = a["wanted"], a["found"]
    return {
        "mae": sk.mean_absolute_error(wanted, found),
        "mse": sk.mean_squared_error(wanted, found),
        "rmse": sk.root_mean_squared_error(wanted.reshape(-1), found.reshape(-1)),
        "r2": sk.r2_score(wanted, found),
    }


def maps(a: Any) -> dict[str, float]:
    """Segmentation and perplexity by torchmetrics."""
    import torch
    from sklearn.metrics import f1_score
    from torchmetrics.classification import MulticlassJaccardIndex
    from torchmetrics.text import Perplexity

    count = a["map_scores"].shape[-1]
    decided, wanted = torch.tensor(a["map_scores"].argmax(-1)), torch.tensor(a["map"])
    miou = MulticlassJaccardIndex(count, average="macro", ignore_index=255)
    perplexity = Perplexity(ignore_index=-100)
    kept = a["map"].reshape(-1) != 255
    dice = f1_score(a["map"].reshape(-1)[kept], a["map_scores"].argmax(-1).reshape(-1)[kept], average="macro")
    return {
        "miou": float(miou(decided, wanted)),
        "dice": dice,
        "perplexity": float(perplexity(torch.tensor(a["tokens_scores"]).double(), torch.tensor(a["tokens"]))),
    }


def vectors(a: Any) -> dict[str, float]:
    """Retrieval, cosine and signal-to-noise by torchmetrics."""
    import torch
    from torchmetrics.audio import SignalNoiseRatio
    from torchmetrics.regression import CosineSimilarity
    from torchmetrics.retrieval import RetrievalHitRate

    count = len(a["groups"])
    unit = torch.nn.functional.normalize(torch.tensor(a["vectors"]), dim=1)
    pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
    query, other = (torch.tensor(side) for side in zip(*pairs, strict=True))
    groups = torch.tensor(a["groups"])
    hits = RetrievalHitRate(top_k=1)
    same = groups[query] == groups[other]
    retrieval = hits((unit @ unit.T)[query, other], same, indexes=query)
    found, original = torch.tensor(a["scores"]), torch.tensor(a["original"])
    ratio = SignalNoiseRatio()(found, original)
    similar = CosineSimilarity(reduction="mean")(found, original)
    return {"retrieval": float(retrieval), "cosine": float(similar), "snr": float(ratio)}


def faces(request: dict[str, Any]) -> dict[str, float]:
    """PCK and NME, which no library here has: the papers' formulas, point by point.

    Source: Yang and Ramanan 2013, "Articulated human detection with flexible mixtures of parts"; Sagonas et
    al. 2016, "300 Faces In-The-Wild Challenge".
    """
    near, errors, apart = [], [], []
    for wanted, found in zip(request["faces"]["wanted"], request["faces"]["found"], strict=True):
        width = max(x for x, _ in wanted) - min(x for x, _ in wanted)
        height = max(y for _, y in wanted) - min(y for _, y in wanted)
        size = max(width, height)
        far = [math.hypot(x - u, y - v) for (x, y), (u, v) in zip(wanted, found, strict=True)]
        near += [d <= 0.1 * size for d in far]
        errors.append(sum(far) / len(far) / size)
        apart.append(sum(far) / len(far) / math.dist(wanted[3], wanted[7]))
    means = {"nme": errors, "nme(norm=3:7)": apart, "pck": near}
    return {name: sum(values) / len(values) for name, values in means.items()}


def spans(request: dict[str, Any]) -> dict[str, float]:
    """SQuAD's scores by torchmetrics, of places as words."""
    from torchmetrics.text import SQuAD

    score = SQuAD()
    found, wanted = [], []
    for number, ((first, last), (begin, end)) in enumerate(request["spans"]):
        texts = [" ".join(f"w{i}" for i in range(a, b + 1)) for a, b in ((first, last), (begin, end))]
        wanted.append({"answers": {"answer_start": [first], "text": [texts[0]]}, "id": str(number)})
        found.append({"prediction_text": texts[1], "id": str(number)})
    both = score(found, wanted)
    return {"span_f1": float(both["f1"]) / 100, "em": float(both["exact_match"]) / 100}


def images(a: Any) -> dict[str, float]:
    """Images by scikit-image."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    pairs = list(zip(a["images"], a["made"], strict=True))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return {
        "psnr": float(np.mean([peak_signal_noise_ratio(x, y, data_range=1.0) for x, y in pairs])),
        "ssim": float(np.mean([structural_similarity(x, y, channel_axis=-1, **options) for x, y in pairs])),
    }


def texts(request: dict[str, Any]) -> dict[str, float]:
    """Transcripts by jiwer."""
    import jiwer

    wanted, found = request["texts"], request["found_texts"]
    return {"wer": jiwer.wer(wanted, found), "cer": jiwer.cer(wanted, found)}


def boxes(request: dict[str, Any]) -> dict[str, float]:
    """Average precision by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = request["coco"]
        truth.createIndex()
        found = truth.loadRes(request["detections"])
        run = COCOeval(truth, found, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {"map": float(run.stats[0]), "map50": float(run.stats[1])}


def points(request: dict[str, Any]) -> dict[str, float]:
    """Object key-point similarity by pycocotools, one person an image."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = request["persons"]
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(request["poses"]), "keypoints")
        run.evaluate()
    return {"oks": float(np.mean([v[0][0] for v in run.ious.values()]))}


def main() -> None:
    """Prints every value as one JSON object."""
    request = json.loads(sys.stdin.read())
    with np.load(request["arrays"]) as arrays:
        a = dict(arrays)
    found = classes(a) | values(a) | maps(a) | vectors(a) | images(a)
    for part in (texts, boxes, points, faces, spans):
        found |= part(request)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
