"""A file on LiteRT's GPU accelerator, with the methods of a ``runtime.Session``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from tightfit.errors import RuntimeFailureError
from tightfit.evaluation.devices.device_session import spec_of
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names, output_names
from tightfit.runtime.input_samples import fit_sample, random_sample
from tightfit.targets.tools.agreement import main_inputs
from tightfit.targets.tools.litert_gpu import load, open_process
from tightfit.types import Array

_SOFTWARE: Final = ("swiftshader", "llvmpipe", "lavapipe")


class GpuSession:
    """The main graph of a file on the GPU, what it does not take on the CPU; a context manager.

    Attributes:
        inputs: what the model takes.
        outputs: what it gives.
        adapter: the driver's name of the GPU.

    Raises:
        OptionError: no Vulkan driver is found. RuntimeFailureError: the accelerator refuses the file.
    """

    def __init__(self, path: str | Path) -> None:
        model = read_model(Path(path))
        index = main_inputs(model)[0]
        self.inputs = tuple(spec_of(n, t) for n, t in input_names(model).items())
        self.outputs = tuple(spec_of(n, t) for n, t in output_names(model).items())
        self._process = open_process()
        loaded = load(self._process, Path(path), signature=index)
        self.adapter = loaded.adapter
        if loaded.failure:
            self.close()
            raise RuntimeFailureError(f"LiteRT's GPU accelerator refused '{path}': {loaded.failure}.")

    @property
    def is_software(self) -> bool:
        """True where the driver computes on the CPU."""
        return any(word in self.adapter.lower() for word in _SOFTWARE)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of one sample by name.

        Raises:
            DataError: the sample does not fit. RuntimeFailureError: the accelerator fails.
        """
        sample = fit_sample(inputs, self.inputs)
        answers = self._process.run([sample[spec.name] for spec in self.inputs])
        return {spec.name: answer for spec, answer in zip(self.outputs, answers, strict=True)}

    def run_many(self, samples: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
        """Return the outputs of each sample in turn."""
        for sample in samples:
            yield self.run(sample)

    def time(self, runs: int, warmup: int = 0) -> list[float]:
        """Return the milliseconds of each of some runs, the reading of the outputs included.

        Raises:
            RuntimeFailureError: the driver computes on the CPU, so its times are no GPU's.
        """
        if self.is_software:
            raise RuntimeFailureError(
                f"No latency: the driver '{self.adapter}' computes on the CPU. Measure where a GPU is."
            )
        self.run(random_sample(self.inputs))
        return self._process.time(runs + warmup)[warmup:]

    @property
    def peak_memory_bytes(self) -> int | None:
        """None: the memory of a GPU is not known."""
        return None

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
