"""What every task of a search needs to know, put into the object store once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tightfit.data.dataset import Dataset
from tightfit.data.function_source import FunctionData
from tightfit.data.python_objects import is_python_object
from tightfit.data.tables.ray_blocks import RayBlocks, is_ray_dataset
from tightfit.data.user_code import load_function
from tightfit.distributed.artifacts import Artifact
from tightfit.errors import OptionError
from tightfit.evaluation.metrics.spelling import Wanted
from tightfit.search.job import Job
from tightfit.search.search_samples import SearchSamples

OWN_CODE = "tightfit."
"""Functions of this package need no trust."""


@dataclass(frozen=True)
class Context:
    """One search, as its workers get it.

    Args:
        key: identifies the search.
        job: with the data as workers open it; without a model.
        model: the float ``.tflite``.
        evaluating: numbers of the samples.
        calibrating: see ``evaluating``.
        facts: what the files record of the data.
        versions: of the driver.
        lanes: of its calibration.
        fetch: returns the content of a reference.
    """

    key: str
    job: Job
    model: Artifact
    evaluating: Any
    calibrating: Any
    facts: dict[str, Any]
    versions: Mapping[str, str]
    lanes: int
    fetch: Callable[[Any], Any] = field(repr=False)


@dataclass(frozen=True)
class SharedFunction:
    """A user's function that the user told the driver to trust; it has the name that the user gave.

    Args:
        name: ``module:function``.
        function: it.
    """

    name: str
    function: Callable[..., Any]

    def __call__(self) -> Any:
        """Return the samples."""
        return self.function()


def portable(job: Job, *, trust_code: bool) -> Job:
    """Return a job whose data and metric a worker can open.

    Paths become absolute: they must lie on storage that every node has. Functions are taken along only where
    the user told the driver to trust them; this package's own need no trust.

    Raises:
        OptionError: there is a function, and nobody said that it is trusted.
    """
    data = portable_data(job.data, trust_code=trust_code)
    calibration = job.calibration_data
    if calibration is not None:
        calibration = portable_data(calibration, trust_code=trust_code)
    metric = portable_metrics(job.metrics(), trust_code=trust_code)
    return replace(job, model=Path(), data=data, calibration_data=calibration, metric=metric)


def portable_samples(samples: SearchSamples, job: Job) -> dict[str, Any]:
    """Return which samples calibrate and evaluate, and what files record of them."""
    facts = samples.provenance(job) if job.provenance else {}
    return {"evaluating": samples.evaluating, "calibrating": samples.calibrating, "facts": facts}


def portable_data(data: Any, *, trust_code: bool) -> Any:
    """Return data as a worker opens it; see ``portable``.

    Raises:
        OptionError: it is code, and nobody said that it is trusted.
    """
    if is_ray_dataset(data):
        return RayBlocks(data)
    if is_python_object(data):
        if not _is_plain(data):
            refuse_untrusted(f"data of type {type(data).__name__}", trust_code=trust_code)
        return data
    spec = os.fspath(data)
    file, colon, names = spec.rpartition(":")
    if Path(spec).exists():
        return str(Path(spec).resolve())
    if colon and Path(file).exists():
        return f"{Path(file).resolve()}:{names}"
    if spec.startswith(OWN_CODE):
        return spec
    refuse_untrusted(f"'{spec}'", trust_code=trust_code)
    return SharedFunction(spec, by_value(load_function(spec, "a function that returns samples")))


def portable_metrics(metrics: Sequence[Wanted], *, trust_code: bool) -> list[Wanted]:
    """Return metrics as a worker uses them; see ``portable``.

    Raises:
        OptionError: one is a function, and nobody said that it is trusted.
    """
    found = []
    for wanted in metrics:
        own = wanted.row is None and wanted.name != "auto"
        if own and not wanted.name.startswith(OWN_CODE):
            refuse_untrusted(f"the metric '{wanted.name}'", trust_code=trust_code)
            function = wanted.function or load_function(wanted.name, "a function of outputs and labels")
            found.append(replace(wanted, function=by_value(function)))
        else:
            found.append(wanted)
    return found


def plain_data(data: Any) -> Any:
    """Return data as ``open_data`` takes it: a shared function as the function."""
    return data.function if isinstance(data, SharedFunction) else data


def named_data(dataset: Dataset, given: Any) -> Dataset:
    """Return the dataset with the name that the user gave to its function."""
    if isinstance(given, SharedFunction) and isinstance(dataset.source, FunctionData):
        dataset.source.name = given.name
    return dataset


def by_value(function: Any) -> Any:
    """Return a function whose module travels along: the workers do not have it."""
    import sys  # noqa: PLC0415 - with Ray's pickling only

    from ray import cloudpickle  # noqa: PLC0415 - Ray is there where this is called

    module = sys.modules.get(getattr(function, "__module__", ""))
    if module is not None and hasattr(module, "__file__") and not module.__name__.startswith("tightfit"):
        cloudpickle.register_pickle_by_value(module)
    return function


def _is_plain(data: Any) -> bool:
    """True for arrays, pairs and dicts of arrays, which hold no code."""
    if isinstance(data, tuple):
        return all(_is_plain(part) for part in data)
    if isinstance(data, Mapping):
        return all(_is_plain(part) for part in data.values())
    return data is None or (type(data).__module__ == "numpy" and data.dtype.kind != "O")


def refuse_untrusted(what: str, *, trust_code: bool) -> None:
    """Check that code of the user may run on the workers.

    Raises:
        OptionError: nobody said that it is trusted.
    """
    if not trust_code:
        raise OptionError(
            f"Received {what}: its code would run on every node of the cluster. Pass --trust-code "
            "(RayCluster(trust_code=True)) if you trust it, or files on shared storage."
        )
