"""The verbs ``check``, ``advise`` and ``models``: what fits a device, before anything is made for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tightfit.api.parameters.arguments import Image, Size, image_options, parse_size
from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.conversion.open_model import open_model
from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.data.sources import check_data, open_data
from tightfit.diagnosis.difference import difference
from tightfit.diagnosis.file_difference import FileDifference
from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.files import checked_write, refuse_input_as_output
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import write_model
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.write import finish, write_recorded
from tightfit.provenance.record import read_record, source_facts, versions
from tightfit.result import Result, ResultList, Row
from tightfit.search.advisor import Advice, walk
from tightfit.spoken import verb
from tightfit.targets.fixes.apply_fixes import Applied, fix
from tightfit.targets.hosted_models import ReadyModel, find_models
from tightfit.targets.placement import check as judge
from tightfit.targets.places.float16 import Float16Simulation, float16_simulation, noise_samples
from tightfit.targets.profile import Target, find_target
from tightfit.targets.tools.proof import Proof, judged, prove
from tightfit.targets.tools.tool_table import TOOLS, require_tool
from tightfit.targets.verdict import Verdict
from tightfit.types import Array
from tightfit.units import format_decibels


@dataclass(frozen=True, repr=False)
class CheckResult(Result):
    """What a target makes of a file, and what was rewritten for it.

    Args:
        verdict: on the file, or on the fixed one.
        proof: of the target's own tool, None where it was not run.
        applied: the rewrites.
        before: the verdict without them, None when nothing was to be fixed.
        answers: the fixed file against the original on LiteRT.
        path: the file that the verdict is on.
        float16: what the float16 arithmetic of the target's devices does to each op; None elsewhere.
        on_data: the samples are the user's, not noise.
    """

    verdict: Verdict
    proof: Proof | None
    applied: list[Applied] = field(default_factory=list)
    before: Verdict | None = None
    answers: FileDifference | None = None
    path: Path = field(default_factory=Path)
    float16: Float16Simulation | None = None
    on_data: bool = False

    @property
    def notes(self) -> list[str]:
        """What was rewritten, and how the fixed file answers."""
        return [*(a.effect for a in self.applied), *filter(None, [self.comparison(), self.rounding()])]

    def headline(self) -> str:
        """Return the verdict in one line."""
        return f"CheckResult({self.verdict.summary()})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the ops that the target does not accelerate."""
        rows = [(p.name, p.kind, p.reason, p.fix) for p in self.verdict.fallbacks]
        return ("op", "kind", "why it falls back", "what to change"), rows

    def to_dict(self) -> dict[str, object]:
        """Return plain values: those of the verdict, and ``proof``, ``applied``, ``before``, ``answers``."""
        return dict(self.as_json())

    @property
    def runs(self) -> bool:
        """True when the target runs the file with right values and its memory holds it.

        Values that overflow float16 count where the samples are the user's; noise may be louder than data.
        """
        overflows = self.on_data and self.float16 is not None and self.float16.overflows
        return self.verdict.runs and self.verdict.fits and self.verdict.right and not overflows

    def as_json(self) -> dict[str, object]:
        """Return plain values: those of the verdict, and ``proof``, ``applied``, ``before``, ``answers``."""
        plain = self.verdict.as_json() | {"proof": None if self.proof is None else self.proof.as_json()}
        plain["applied"] = [{"fix": a.name, "effect": a.effect, "ops": list(a.ops)} for a in self.applied]
        plain["before"] = None if self.before is None else self.before.as_json()
        plain["float16"] = (
            None if self.float16 is None else self.float16.to_dict() | {"on_data": self.on_data}
        )
        plain["answers"] = None if self.answers is None else self.answers.as_json()["outputs"]
        return plain

    def rounding(self) -> str:
        """Return what float16 does to the values, in a sentence; "" where it was not simulated."""
        if self.float16 is None:
            return ""
        return self.float16.sentence("samples of the data" if self.on_data else "samples of noise")

    def comparison(self) -> str:
        """Return how the fixed file answers, in a sentence; "" when nothing was fixed."""
        if self.answers is None:
            return ""
        if self.answers.unanswered:
            return f"The answers could not be compared on LiteRT: {self.answers.unanswered}"
        if all(o.equal for o in self.answers.outputs):
            return f"LiteRT gives equal answers for both files on {self.answers.samples} samples of noise."
        worst = min((o.snr_db for o in self.answers.outputs if o.snr_db is not None), default=0.0)
        most = max(o.largest for o in self.answers.outputs)
        return f"LiteRT's answers for both files differ by {most:.3g} at most ({format_decibels(worst)})."


@verb(memory_bytes="memory", fixed="output")
def check(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    target: str,
    output: Pathlike | None = None,
    *,
    memory: Size = None,
    data: DataLike | None = None,
    image: Image = None,
    compile: bool = True,  # noqa: A002 - what users call it
) -> CheckResult:
    """Return op by op whether a target accelerates a model, why not, and what to change.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        target: name of a device (docs/targets.md).
        output: write the model here with what falls back rewritten, where a rewrite is known.
        memory: bytes of the device's memory, or text such as ``"256KiB"``; None for the target's.
        data: samples for a target whose judge runs the model, and for the float16 arithmetic of a GPU; None
            for seeded noise.
        image: preprocessing of images.
        compile: let the target's own compiler, interpreter or accelerator judge where there is one.

    Returns:
        the verdict of each op, the share of the multiply-accumulates that the device accelerates, and notes.

    Raises:
        OptionError: unknown target; the closest match is named. ModelError: the file cannot be read, or
            nothing in it can be fixed. DataError: the data does not fit the model.

    Example:
        ``tightfit.check("model.tflite", "ethos-u55-128")``
    """
    memory_bytes, fixed = parse_size(memory), output
    check_paths({"model": model}, {"The output": fixed})
    device = find_target(target)
    require_tool(device, wanted=compile)
    _check_samples(device, data, image, compile=compile)
    path = open_model(model)
    read = read_model(path)
    samples = _samples(read, path, data, image)
    verdict = judge(read, device, memory_bytes=memory_bytes)
    if fixed is None:
        return _judged(path, read, verdict, samples, compile=compile)
    refuse_input_as_output(Path(fixed), path)
    changed, applied = fix(read, device)
    answers = _write_fixed(changed, path, Path(fixed), [f"for {device.name}: {a.effect}" for a in applied])
    after = judge(changed, device, memory_bytes=memory_bytes)
    found = _judged(Path(fixed), changed, after, samples, compile=compile)
    return replace(found, applied=applied, before=verdict, answers=answers)


_SAMPLES: Final = 8
"""Samples that are rounded to float16; the first runs on the target's judge."""


def _check_samples(device: Target, data: DataLike | None, image: Image, *, compile: bool) -> None:  # noqa: A002 - as in ``check``
    """Refuse data that nothing would read."""
    check_data(data)
    tool = TOOLS.get(device.family.tool)
    if data is None and image is None:
        return
    if not compile or not (device.family.float16 or (tool is not None and tool.runs_samples)):
        raise OptionError(
            f"Received data, which nothing reads: no judge of '{device.name}' runs the model here."
        )


def _samples(model: Model, path: Path, data: DataLike | None, image: Image) -> list[Sample] | None:
    """The first samples of the data; None without any."""
    if data is None:
        return None
    dataset = open_data(data, image=image_options(image), inputs=inputs_of(model, path))
    return list(dataset.samples(range(min(_SAMPLES, len(dataset)))))


def _judged(
    path: Path,
    model: Model,
    verdict: Verdict,
    samples: Sequence[Sample] | None,
    *,
    compile: bool,  # noqa: A002 - as in ``check``
) -> CheckResult:
    """The verdict of the target's own tool where it can run and is wanted, else of the rules."""
    if not compile:
        return CheckResult(verdict, None, path=path)
    proof = prove(model, verdict, None if samples is None else _arrays(model, path, samples[0]))
    float16 = None
    if verdict.target.family.float16:
        with contextlib.suppress(RuntimeFailureError):  # the CPU does not run the file: the verdict has it
            float16 = float16_simulation(path, noise_samples(model) if samples is None else samples)
    return CheckResult(judged(verdict, proof), proof, path=path, float16=float16, on_data=samples is not None)


def _arrays(model: Model, path: Path, sample: Sample) -> list[Array]:
    """A sample as the model takes it, in the signature's order."""
    fed = adapt_inputs(sample, inputs_of(model, path))
    return [fed[name] for name in input_names(model)]


def _write_fixed(model: Model, original: Path, output: Path, steps: list[str]) -> FileDifference:
    """Writes beside the output, runs it on LiteRT beside the original, then renames."""
    record = read_record(model)
    facts = {"source": source_facts(original)} if record is None else record.facts
    facts = facts | {"versions": versions(), "steps": [*facts.get("steps", ()), *steps]}
    finish(model)
    with checked_write(output) as trial:
        if record is None:
            write_model(model, trial)
        else:
            write_recorded(model, trial, model, (), facts)
        return difference(original, trial)


@verb()
def advise(answers: Mapping[str, str]) -> Advice:
    """Return the way to optimize a model: the path through the decision tree, and the command to run.

    Args:
        answers: question → answer, see ``search.advisor.questions``.

    Returns:
        the scheme, the commands and the reasons.

    Raises:
        OptionError: an answer is unknown, or a question that the way depends on is not answered.

    Example:
        >>> advise({"device": "gpu"}).scheme
        'float16'
    """
    advice, missing = walk(answers)
    if advice is None or missing is not None:
        name, names = (missing.name, "|".join(missing.options)) if missing else ("", "")
        raise OptionError(f"The way depends on '{name}'. Answer it with --answer {name}={names}.")
    return advice


@verb(max_size_bytes="max_size")
def models(
    *,
    max_size: Size = None,
    max_macs: int | None = None,
    min_accuracy: float | None = None,
    target: str | None = None,
    task: str | None = None,
) -> ResultList[ReadyModel]:
    """Return the hosted, ready models that fit a budget and a target, the most accurate first.

    Args:
        max_size: bytes, or text such as ``"5MB"``.
        max_macs: multiply-accumulates of one call.
        min_accuracy: published, a fraction.
        target: name of a device.
        task: a word of the task, such as ``"detection"``.

    Returns:
        models that fit all limits, the most accurate first.

    Raises:
        OptionError: see ``targets.hosted_models.find_models``.

    Example:
        ``tightfit.models(max_size="5MB", task="classification")``
    """
    found = find_models(
        max_size_bytes=parse_size(max_size),
        max_macs=max_macs,
        min_accuracy=min_accuracy,
        target=target,
        task=task,
    )
    return ResultList(found)
