"""The samples that ranges are seen on, and what a file records about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.api.parameters.quantize_options import QuantizeOptions
from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.errors import DataError
from tightfit.kinds import DataLike
from tightfit.pipeline.source import Source
from tightfit.types import Array


@dataclass
class CalibrationSamples:
    """The samples that ranges are seen on; what the doctor looks at is kept on the first pass.

    Args:
        indices: which samples of the data set; None for all.
    """

    dataset: Dataset
    indices: Array | None
    log: SampleLog = field(default_factory=SampleLog)

    @classmethod
    def of(
        cls, source: Source, data: DataLike, image: ImageOptions | None, chosen: QuantizeOptions
    ) -> CalibrationSamples:
        """Opens the data, chooses samples; the source notes which data it was.

        Raises:
            DataError: the data cannot be read, or has one sample.
        """
        dataset = open_data(data, image=image, inputs=inputs_of(source.model, source.path))
        if len(dataset) < 2:
            raise DataError(
                f"The data has {len(dataset)} sample; ranges seen on it say nothing about others. Give at "
                "least 20, better 100."
            )
        count = min(chosen.calibration, len(dataset))
        indices = None
        if count < len(dataset):
            indices, _ = split(dataset.labels(), len(dataset), count, seed=chosen.seed, overlap=True)
        if source.facts is not None:
            source.facts["data"] = data_facts(dataset, count, chosen.seed)
        return cls(dataset, indices)

    def samples(self) -> Iterator[Mapping[str, Array]]:
        """Inputs, one sample after another; may be called again."""
        given = self.dataset.samples(self.indices)
        return (s.inputs for s in (given if self.log.samples else self.log.watch(given)))


def data_facts(dataset: Dataset, calibration: int, seed: int) -> dict[str, Any]:
    """Return what a file records about its calibration data: a fingerprint, no sample."""
    known = dataset.describe()
    return {
        "name": known["name"],
        "count": known["count"],
        "calibration_samples": calibration,
        "seed": seed,
        "fingerprint": dataset.fingerprint(),
    }
