"""One file by one scheme, without recoveries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.quantization_result import QuantizationResult
from tightfit.pipeline.source import Source, open_source
from tightfit.quantization.planning import Overrides
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.runtime.child.child_process import prepare_shared
from tightfit.runtime.child.process import worker_count
from tightfit.types import SampleStream

if TYPE_CHECKING:
    pass
from tightfit.pipeline.builder import Builder


def quantize_file(  # noqa: PLR0913 - the options of one verb
    path: str | Path | Source,
    scheme: Scheme | str,
    output: str | Path,
    samples: SampleStream | None = None,
    *,
    overrides: Overrides = (),
    observers: Mapping[str, str] | None = None,
    layout: str = "cpu",
    mend: bool = True,
) -> QuantizationResult:
    """Quantize one file by one scheme, without recoveries.

    Args:
        path: a float ``.tflite``, or one that ``open_source`` has read.
        scheme: a ``Scheme`` or its name.
        output: the file to write.
        samples: calibration inputs by name, read once; needed by int8 and int16x8.
        overrides: see ``make_plan``.
        observers: integer type → observer name.
        layout: a key of ``LAYOUTS``.
        mend: whether remedies are tried where a slice of an output is poor.

    Raises:
        OptionError: samples are missing for a scheme that needs them, or an option is unknown.
        ModelError, DataError, QuantizationError, RuntimeFailureError: see the steps.
    """
    wanted = find_scheme(scheme) if isinstance(scheme, str) else scheme
    spec = BuildSpec(wanted, overrides=overrides, observers=observers, layout=layout, mend=mend)
    spec.check_samples(given=samples is not None)
    prepare_shared(worker_count())
    source = path if isinstance(path, Source) else open_source(path)
    builder = Builder(source, None if samples is None else lambda: iter(samples))
    return builder.build(spec, Path(output))
