"""Decoders: from the raw outputs of common detectors to boxes. A decoder is one function and one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.data.npz_members import DAMAGE
from tightfit.errors import DataError, unknown_name
from tightfit.evaluation.metrics.boxes import Boxes, best, corners_of, suppressed
from tightfit.paths import refuse_endless
from tightfit.types import Array

Outputs = Mapping[str, Array]
Options = Mapping[str, Any]

_SCORE: Final = 0.001
_OVERLAP: Final = 0.6
_YOLO_ANCHORS: Final = {
    2: (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319),
    3: (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326),
}
"""Of YOLOv3-tiny and YOLOv3 at 416 pixels, width and height, small ones first: pjreddie/darknet cfg."""


@dataclass(frozen=True)
class Decoder:
    """One row: the function, and what it takes.

    Args:
        decode: outputs of one image and options → boxes, corners as fractions of the image or in pixels.
        layout: the outputs that it understands.
        fractions: True where its corners are fractions of the image; None where the model decides.
    """

    name: str
    decode: Callable[[Outputs, Options], Boxes]
    layout: str
    fractions: bool | None = None


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(values.astype(np.float64), -60, 60))))


def _kept(boxes: Array, scores: Array, options: Options) -> Boxes:
    return suppressed(boxes, scores, float(options.get("nms", _OVERLAP)), float(options.get("score", _SCORE)))


def _flat(array: Array) -> Array:
    """An output without its batch of one."""
    return np.asarray(array[0] if array.ndim > 1 and array.shape[0] == 1 else array)


def is_boxes(array: Array) -> bool:
    """Return whether an output is a list of four numbers."""
    flat = _flat(array)
    return flat.ndim == 2 and flat.shape[1] == 4


def _decoded(outputs: Outputs, options: Options) -> Boxes:
    """Boxes beside scores of classes (n × classes, suppressed here), or beside a score and a class each."""
    form = str(options.get("format", "xyxy"))
    name = str(options.get("boxes") or next((n for n, a in outputs.items() if is_boxes(a)), ""))
    if name not in outputs:
        raise DataError(
            f"No output of {', '.join(outputs)} is a list of boxes (n × 4). Name a decoder: "
            f"map50(decoder={'|'.join(DECODERS)})."
        )
    boxes = corners_of(_flat(outputs[name]), form)
    rest = {n: _flat(a) for n, a in outputs.items() if n != name}
    scores = rest.get(str(options.get("scores", "")))
    wide = [a for a in rest.values() if a.ndim == 2 and len(a) == len(boxes)]
    if scores is None and wide:
        scores = wide[0]
    if scores is not None and scores.ndim == 2:
        skip = int(options.get("background", -1)) + 1
        return _kept(boxes, scores[:, skip:].astype(np.float64), options)
    lists = [a for n, a in rest.items() if a.ndim == 1 and len(a) == len(boxes)]
    return _listed(boxes, lists, scores)


def _listed(boxes: Array, lists: Sequence[Array], scores: Array | None) -> Boxes:
    """Boxes that the model has suppressed itself, as TFLite_Detection_PostProcess does."""
    if len(lists) < 2:
        raise DataError(
            f"Boxes stand beside {len(lists)} lists of one number a box. Expected scores (n × classes), or "
            "scores and classes; name them, as in map50(boxes=…,scores=…)."
        )
    if scores is None:
        # scores lie in 0–1 and fall; classes are whole numbers
        whole = [bool((a == np.floor(a)).all()) for a in lists[:2]]
        first = (whole[0] and not whole[1]) or (whole[0] and whole[1] and lists[0].max() >= lists[1].max())
        classes, scores = (lists[0], lists[1]) if first else (lists[1], lists[0])
    else:
        classes = next(a for a in lists if a is not scores)
    real = np.asarray(scores) > 0
    return best(Boxes(boxes[real], scores[real].astype(np.float64), np.rint(classes[real]).astype(np.int64)))


def _only(outputs: Outputs, options: Options) -> Array:
    """The one list of predictions, n × numbers: the longer side is n."""
    name = str(options.get("output", ""))
    arrays = [_flat(outputs[name])] if name in outputs else [_flat(a) for a in outputs.values()]
    arrays = [a for a in arrays if a.ndim == 2]
    if not arrays:
        raise DataError("No output is a list of predictions (n × numbers). Take the decoder of raw heads.")
    array = max(arrays, key=lambda a: a.size)
    return array if array.shape[0] >= array.shape[1] else array.T


def _yolov8(outputs: Outputs, options: Options) -> Boxes:
    rows = _only(outputs, options).astype(np.float64)
    return _kept(corners_of(rows[:, :4], "cxcywh"), rows[:, 4:], options)


def _yolov5(outputs: Outputs, options: Options) -> Boxes:
    rows = _only(outputs, options).astype(np.float64)
    return _kept(corners_of(rows[:, :4], "cxcywh"), rows[:, 4:5] * rows[:, 5:], options)


def _heads(outputs: Outputs, options: Options) -> list[tuple[Array, Array, float]]:
    """Each raw head as (grid, grid, anchors, numbers), with its anchors and their pixels; coarse first."""
    flat = sorted((_flat(a) for a in outputs.values() if a.ndim >= 4), key=lambda a: a.shape[0] * a.shape[1])
    if not flat:
        raise DataError("The decoder takes raw heads (grid × grid × numbers); the model has none.")
    anchors = _numbers(options.get("anchors"), _YOLO_ANCHORS.get(len(flat)))
    per = len(anchors) // len(flat)
    if len(anchors) % len(flat) or not per:
        raise DataError(
            f"{len(anchors)} anchors do not divide among {len(flat)} heads. Name as many for each."
        )
    size = float(options.get("size", options.get("found_size", 416)))
    heads = []
    for i, head in enumerate(flat):
        own = anchors[len(anchors) - per * (i + 1) : len(anchors) - per * i]
        rows, columns = head.shape[:2]
        if head.size % (rows * columns * per):
            raise DataError(
                f"A head of shape {list(head.shape)} does not hold {per} anchors a place. Name anchors."
            )
        heads.append((head.reshape(rows, columns, per, -1), own, size))
    return heads


def _numbers(given: Any, otherwise: Sequence[float] | None) -> Array:
    """Pairs of numbers: ``12:18:37:49``, or a .npy, .npz or text file."""
    if given is None:
        if otherwise is None:
            raise DataError("The decoder takes anchors. Name them: anchors=W:H:W:H…, or a file.")
        return np.array(otherwise, np.float64).reshape(-1, 2)
    if isinstance(given, str) and Path(given).is_file():
        return read_numbers(Path(given)).reshape(-1, 2)
    try:
        return np.array([float(v) for v in str(given).split(":")]).reshape(-1, 2)
    except ValueError as error:
        raise DataError(f"Received the anchors '{given}'; expected W:H:W:H… or a file.") from error


def read_numbers(path: Path) -> Array:
    """Return the numbers of a .npy, .npz (its first array) or text file; nothing is unpickled.

    Raises:
        DataError: when it holds none.
    """
    refuse_endless(path, "The file of anchors")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return np.asarray(archive[archive.files[0]], np.float64)
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), np.float64)
        return np.loadtxt(path, delimiter="," if "," in path.read_text(encoding="utf-8") else None)
    except DAMAGE as error:
        raise DataError(f"The anchors '{path.name}' cannot be read: {error}.") from error


def _raw(outputs: Outputs, options: Options, *, newer: bool) -> Boxes:
    """Heads of YOLOv3 (``size = anchor · exp t``) or YOLOv5 (``(2σ)² anchor``, centres of ``2σ − 0.5``)."""
    boxes, scores = [], []
    for head, anchors, size in _heads(outputs, options):
        rows, columns = head.shape[:2]
        y, x = np.mgrid[:rows, :columns]
        place = np.stack([x, y], axis=-1)[:, :, None]
        moved = _sigmoid(head[..., :2])
        centre = ((2 * moved - 0.5 if newer else moved) + place) / (columns, rows)
        shape = head[..., 2:4].astype(np.float64)
        grown = (2 * _sigmoid(shape)) ** 2 if newer else np.exp(np.clip(shape, -9, 9))
        boxes.append(np.concatenate([centre, grown * anchors / size], axis=-1).reshape(-1, 4))
        chances = _sigmoid(head[..., 4:5]) * _sigmoid(head[..., 5:])
        scores.append(chances.reshape(-1, chances.shape[-1]))
    return _kept(corners_of(np.concatenate(boxes), "cxcywh"), np.concatenate(scores), options)


def _ssd(outputs: Outputs, options: Options) -> Boxes:
    """Encodings (ty, tx, th, tw) around anchors (y, x, height, width), and scores with a background."""
    given = options.get("anchors")
    if not isinstance(given, str) or not Path(given).is_file():
        raise DataError("The decoder ssd takes anchors=FILE: n rows of centre y, centre x, height, width.")
    anchors = read_numbers(Path(given)).reshape(-1, 4)
    flat = {n: _flat(a).astype(np.float64) for n, a in outputs.items()}
    name = str(
        options.get("boxes")
        or next((n for n, a in flat.items() if a.size == anchors.size and a.shape[-1] == 4), "")
    )
    scores = next((a for n, a in flat.items() if n != name and a.ndim == 2 and len(a) == len(anchors)), None)
    if name not in flat or scores is None:
        raise DataError(f"No outputs of {', '.join(outputs)} are {len(anchors)} encodings and their scores.")
    t = flat[name].reshape(-1, 4)
    by = [float(v) for v in str(options.get("scales", "10:10:5:5")).split(":")]
    y, x = (t[:, i] / by[i] * anchors[:, 2 + i] + anchors[:, i] for i in range(2))
    height, width = (np.exp(np.clip(t[:, 2 + i] / by[2 + i], -9, 9)) * anchors[:, 2 + i] for i in range(2))
    chances = scores
    if options.get("scores_are", "probabilities") == "logits":
        chances = _sigmoid(scores)
    background = options.get("background", 0)
    if str(background) != "none":
        chances = np.delete(chances, int(background), axis=1)
    return _kept(corners_of(np.stack([x, y, width, height], axis=1), "cxcywh"), chances, options)


DECODERS: dict[str, Decoder] = {
    row.name: row
    for row in (
        Decoder("boxes", _decoded, "boxes (n × 4) beside scores (n × classes), or beside scores and classes"),
        Decoder("yolov8", _yolov8, "n × (centre x, y, width, height, classes), either side first"),
        Decoder("yolov5", _yolov5, "n × (centre x, y, width, height, objectness, classes)"),
        Decoder(
            "yolov3",
            lambda o, w: _raw(o, w, newer=False),
            "raw heads grid × grid × anchors · (5 + classes), size = anchor · exp t",
            True,
        ),
        Decoder(
            "yolov5-raw",
            lambda o, w: _raw(o, w, newer=True),
            "raw heads grid × grid × anchors · (5 + classes), size = anchor · (2σ)²",
            True,
        ),
        Decoder("ssd", _ssd, "encodings (n × 4) beside scores (n × classes, background first)", True),
    )
}


def find_decoder(options: Options) -> Decoder:
    """Return the decoder that the options name, ``boxes`` by default.

    Raises:
        DataError: for an unknown name.
    """
    name = str(options.get("decoder", "boxes"))
    if name not in DECODERS:
        raise DataError(unknown_name("decoder", name, DECODERS))
    return DECODERS[name]
