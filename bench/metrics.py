"""Are the metrics those of the reference implementations? Both compute them on the same seeded arrays.

    python bench/metrics.py

Prints ours, theirs and the difference of each; exits with 1 when one differs by more than 1e-6.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import peers
from tightfit.evaluation.labels.label_kinds import Probe
from tightfit.evaluation.metrics.tally import tally_of
from tightfit.evaluation.task_choice import choose_tasks

SAMPLES = 200
ALPHABET = "abcdefg '"
TOLERANCE = 1e-6


def value_of(metric: str, probes: Sequence[Probe], references: Sequence[Probe] | None = None) -> float:
    """A metric over samples, by the way that ``evaluate`` takes: task, then tally.

    Args:
        references: what the reference model answered; the answers themselves by default.
    """
    base = probes if references is None else references
    scalars = {}
    if all(isinstance(p.label, int) for p in probes):
        scalars[""] = np.array([p.label for p in probes])
    task = choose_tasks(metric, base, scalars).tasks[0]
    if task.metric is None:
        raise SystemExit(f"{metric} is no metric of the table.")
    tally = tally_of(task.metric)
    for index, (probe, first) in enumerate(zip(probes, base, strict=True)):
        answer = task.answer(probe.outputs, first.outputs, probe.label, probe.labels, probe.inputs)
        tally.add(answer, index)
    return tally.estimate()[0]


def outputs(labels: Iterable[Any], arrays: Iterable[Any]) -> list[Probe]:
    """Samples of one output, each with a batch of one."""
    pairs = zip(labels, arrays, strict=True)
    return [Probe(int(x) if np.ndim(x) == 0 else x, {"y": y[None]}) for x, y in pairs]


def make_arrays(random: np.random.Generator) -> dict[str, Any]:
    """Arrays of every kind of task; decisions are right more often than by chance."""
    classes = random.integers(0, 12, SAMPLES)
    scores = random.dirichlet(np.ones(12), SAMPLES) + 0.4 * np.eye(12)[classes] * random.random((SAMPLES, 1))
    scores /= scores.sum(1, keepdims=True)
    binary = random.integers(0, 2, SAMPLES)
    several = (random.random((SAMPLES, 5)) < 0.3).astype(int)
    wanted = random.normal(size=(SAMPLES, 3)) * [1, 10, 100] + [0, 5, 1000]
    segments = random.integers(0, 4, (20, 16, 16))
    map_scores = random.dirichlet(np.ones(4), (20, 16, 16)) + 0.5 * np.eye(4)[segments]
    segments[random.random(segments.shape) < 0.1] = 255
    tokens = random.integers(0, 30, (20, 12))
    tokens[:, 10:] = -100
    images = random.random((10, 24, 20, 3))
    return {
        "classes": classes, "scores": scores, "binary": binary,
        "unit": np.clip(random.random((SAMPLES, 1)) * 0.7 + 0.3 * binary[:, None], 0, 1).round(2),
        "several": several,
        "several_scores": np.clip(0.6 * random.random((SAMPLES, 5)) + 0.3 * several, 0, 1),
        "wanted": wanted, "found": wanted + random.normal(size=wanted.shape) * [0.3, 3, 30],
        "map": segments, "map_scores": map_scores / map_scores.sum(-1, keepdims=True),
        "tokens": tokens, "tokens_scores": random.normal(size=(20, 12, 30)),
        "vectors": random.normal(size=(60, 16)) + 1.5 * np.eye(16)[random.integers(0, 6, 60)],
        "groups": random.integers(0, 6, 60),
        "original": scores + 0.02 * random.normal(size=scores.shape),
        "images": images, "made": np.clip(images + 0.1 * random.normal(size=images.shape), 0, 1),
    }  # fmt: skip


def make_boxes(
    random: np.random.Generator, images: int = 30
) -> tuple[list[Probe], dict[str, Any], list[Any]]:
    """Images with labelled boxes, crowds among them, and boxes found near; both as COCO writes them too."""
    probes, annotations, detections = [], [], []
    for image in range(1, images + 1):
        count = int(random.integers(0, 6))
        corner, side = random.uniform(0, 200, (count, 2)), random.uniform(10, 90, (count, 2))
        classes, crowd = random.integers(0, 4, count), (random.random(count) < 0.1).astype(int)
        for c, s, k, q in zip(corner, side, classes, crowd, strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "category_id": int(k), "iscrowd": int(q),
                "bbox": [*map(float, c), *map(float, s)], "area": float(s.prod()),
            })  # fmt: skip
        near = np.concatenate([corner + random.normal(size=corner.shape) * 6, random.uniform(0, 200, (8, 2))])
        size = np.concatenate([side * random.uniform(0.8, 1.2, side.shape), random.uniform(10, 90, (8, 2))])
        label = np.concatenate([classes, random.integers(0, 4, 8)])
        score = random.random(len(label)) * 0.9 + 0.05
        for c, s, k, p in zip(near, size, label, score, strict=True):
            box = [*map(float, c), *map(float, s)]
            detections.append({"image_id": image, "category_id": int(k), "bbox": box, "score": float(p)})
        corners = np.concatenate([near, near + size], 1)
        found = {"boxes": corners, "scores": score, "classes": label.astype(float)}
        truth = {"boxes": np.concatenate([corner, corner + side], 1), "classes": classes, "crowd": crowd}
        probes.append(Probe(None, {n: a[None] for n, a in found.items()}, truth))
    coco = {
        "images": [{"id": i, "width": 320, "height": 320} for i in range(1, images + 1)],
        "annotations": annotations, "categories": [{"id": k, "name": str(k)} for k in range(4)], "info": {},
    }  # fmt: skip
    return probes, coco, detections


def make_persons(random: np.random.Generator) -> tuple[list[Probe], dict[str, Any], list[Any]]:
    """One person of 17 points an image."""
    probes, annotations, poses = [], [], []
    for image in range(1, 21):
        points = random.uniform(20, 180, (17, 2))
        seen = (random.random(17) < 0.8).astype(int) * 2
        seen[:2] = 2
        found = points + random.normal(size=points.shape) * 4
        area = float(random.uniform(3000, 9000))
        box = [0.0, 0.0, 200.0, 200.0]
        flat = np.concatenate([points, seen[:, None]], 1)
        annotations.append({
            "id": image, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": box, "area": area,
            "keypoints": [float(v) for v in flat.reshape(-1)], "num_keypoints": int((seen > 0).sum()),
        })  # fmt: skip
        pose = np.concatenate([found, np.ones((17, 1))], 1)
        poses.append({
            "image_id": image, "category_id": 1, "score": 1.0,
            "keypoints": [float(v) for v in pose.reshape(-1)],
        })  # fmt: skip
        probes.append(Probe(flat, {"points": found[None]}, {"area": np.array(area)}))
    persons = {
        "images": [{"id": i, "width": 200, "height": 200} for i in range(1, 21)], "info": {},
        "annotations": annotations, "categories": [{"id": 1, "name": "person"}],
    }  # fmt: skip
    return probes, persons, poses


def make_texts(random: np.random.Generator) -> tuple[list[Probe], list[str], list[str]]:
    """Transcripts, and CTC frames that spell others: repeats and blanks in between."""
    probes, wanted, found = [], [], []
    for _ in range(40):
        words = ["".join(random.choice(list("abcdefg"), int(random.integers(2, 6)))) for _ in range(5)]
        text = " ".join(words)
        letters = [c for c in text if random.random() > 0.1]
        wrong = [random.random() < 0.1 and c != " " for c in letters]
        letters = [
            str(random.choice(list("abcdefg"))) if w else c for w, c in zip(wrong, letters, strict=True)
        ]
        frames: list[int] = []
        for letter in letters:
            frames += [ALPHABET.index(letter)] * int(random.integers(1, 3)) + [len(ALPHABET)]
        scores = np.eye(len(ALPHABET) + 1)[frames] + 0.1 * random.random((len(frames), len(ALPHABET) + 1))
        probes.append(Probe(text, {"frames": scores[None]}))
        wanted.append(text)
        found.append("".join(letters))
    return probes, wanted, found


def make_faces(random: np.random.Generator) -> tuple[list[Probe], dict[str, Any]]:
    """Faces of 20 points, the corners of the eyes among them, each found near."""
    wanted = random.uniform(20, 180, (25, 20, 2))
    found = wanted + random.normal(size=wanted.shape) * 8
    probes = [Probe(w, {"points": f.reshape(1, -1)}) for w, f in zip(wanted, found, strict=True)]
    return probes, {"wanted": wanted.tolist(), "found": found.tolist()}


def make_spans(random: np.random.Generator) -> tuple[list[Probe], list[Any]]:
    """Answers in texts of 40 places: the labelled span, and the scores of starts and ends near it."""
    probes, spans = [], []
    for _ in range(60):
        first = int(random.integers(1, 30))
        last = first + int(random.integers(0, 8))
        begin = int(np.clip(first + random.integers(-2, 3), 0, 39))
        end = int(np.clip(last + random.integers(-2, 3), begin, 39))
        starts, ends = np.eye(40)[begin] + 0.1 * random.random(40), np.eye(40)[end] + 0.1 * random.random(40)
        probes.append(Probe(np.array([first, last]), {"start": starts[None], "end": ends[None]}))
        spans.append([[first, last], [begin, end]])
    return probes, spans


def compared(a: dict[str, Any]) -> dict[str, float]:
    """The metrics that compare with the answers of the original model."""
    own, original = outputs(a["classes"], a["scores"]), outputs(a["classes"], a["original"])
    bare = [[Probe(None, p.outputs) for p in probes] for probes in (own, original)]
    return {name: value_of(name, *bare) for name in ("cosine", "snr")} | {
        "agreement": value_of("agreement@y", *bare)
    }


def ours(a: dict[str, Any], random: np.random.Generator) -> tuple[dict[str, float], dict[str, Any]]:
    """Our values, and what the peers need besides the arrays."""
    probes, coco, detections = make_boxes(random)
    persons_probes, persons, poses = make_persons(random)
    text_probes, texts, found_texts = make_texts(random)
    by_class, one = outputs(a["classes"], a["scores"]), outputs(a["binary"], a["unit"])
    several = outputs(a["several"], a["several_scores"])
    numbers, maps = outputs(a["wanted"], a["found"]), outputs(a["map"], a["map_scores"])
    tokens, images = outputs(a["tokens"], a["tokens_scores"]), outputs(a["images"], a["made"])
    faces_probes, faces = make_faces(random)
    span_probes, spans = make_spans(random)
    vectors = outputs(a["groups"], a["vectors"])
    averaged = ("f1", "f1(micro)", "precision", "precision(micro)", "recall", "recall(micro)")
    of_classes = ("top1", "top5", *averaged, "auc")
    found = {name: value_of(name, by_class) for name in of_classes}
    found |= {"f1 of one unit": value_of("f1", one), "auc of one unit": value_of("auc", one)}
    found |= {f"{name} of several classes": value_of(name, several) for name in ("f1", "f1(micro)")}
    found |= {name: value_of(name, numbers) for name in ("mae", "mse", "rmse", "r2")}
    found |= {name: value_of(name, maps) for name in ("miou", "dice")}
    found |= {"perplexity": value_of("perplexity", tokens)}
    found |= {name: value_of(name, images) for name in ("psnr", "ssim")}
    found |= {name: value_of(f"{name}(alphabet={ALPHABET})", text_probes) for name in ("wer", "cer")}
    found |= {name: value_of(name, probes) for name in ("map50", "map")}
    found |= {"oks": value_of("oks", persons_probes), "pck": value_of("pck", faces_probes)}
    found |= {name: value_of(name, faces_probes) for name in ("nme", "nme(norm=3:7)")}
    found |= {name: value_of(name, span_probes) for name in ("span_f1", "em")}
    found |= {"retrieval": value_of("retrieval", vectors), **compared(a)}
    rest = {"coco": coco, "detections": detections, "persons": persons, "poses": poses}
    rest |= {"faces": faces, "spans": spans}
    return found, rest | {"texts": texts, "found_texts": found_texts}


def main() -> int:
    """Prints the table."""
    random = np.random.default_rng(0)
    arrays = make_arrays(random)
    own, rest = ours(arrays, random)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, **arrays)
        theirs = peers.run("metrics", "peer_metrics.py", {"arrays": str(path), **rest})
    table = Table("metric", "tightfit", "reference", "difference", box=None)
    worst = 0.0
    for name, value in own.items():
        difference = abs(value - theirs[name])
        worst = max(worst, difference)
        table.add_row(name, f"{value:.9f}", f"{theirs[name]:.9f}", f"{difference:.1e}")
    Console().print(table)
    print(f"{len(own)} metrics, largest difference {worst:.1e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
