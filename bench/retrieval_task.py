"""The sentence encoder of ``minilm`` on a question-answering file: which paragraph answers a question.

Reads a file in SQuAD's form, and writes token ids of questions and their paragraphs: 250 of its articles
measure, and 50 others calibrate.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import minilm
import peers
from tightfit.graph.writer import write_model

MEASURED, CALIBRATED, LENGTH = 250, range(300, 350), 64


def write_task(questions: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Return the float model, the calibration samples, and the samples that measure, as files.

    A sample is a sentence; its label is the number of its article, so that a question is found where the
    nearest other sentence is its own paragraph.
    """
    articles = [a["paragraphs"][0] for a in json.loads(questions.read_text(encoding="utf-8"))["data"]]
    pairs = [(a["qas"][0]["question"], a["context"]) for a in articles]
    chosen = [*range(MEASURED), *CALIBRATED]
    sentences = [sentence for i in chosen for sentence in pairs[i]]
    request = {"sentences": sentences, "length": LENGTH, "out": str(folder / "tokens.npz")}
    answer = peers.run("minilm", "peer_minilm.py", request)
    stored = np.load(folder / "tokens.npz")
    first = 2 * MEASURED
    np.savez(folder / "calibration.npz", ids=stored["ids"][first:], mask=stored["mask"][first:])
    labels = np.repeat(np.arange(MEASURED), 2)
    np.savez(folder / "evaluation.npz", ids=stored["ids"][:first], mask=stored["mask"][:first], y=labels)
    model = folder / "sentences.tflite"
    write_model(minilm.build(minilm.read_safetensors(Path(answer["weights"]))), model)
    return model, folder / "calibration.npz", folder / "evaluation.npz"
