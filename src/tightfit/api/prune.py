"""The verbs ``prune`` and ``cluster``: zeros and shared values make the file smaller, proven on LiteRT."""

from __future__ import annotations

from collections.abc import Sequence

from tightfit.api.parameters.arguments import Image
from tightfit.api.parameters.shrink_options import ShrinkOptions, shrink_options
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.results.compression_result import CompressionResult
from tightfit.api.weight_compression import WeightCompression
from tightfit.compression.sparsity.pruning import Pruning, prune_weights
from tightfit.errors import OptionError
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.spoken import verb
from tightfit.units import format_percent
from tightfit.weights.patterns import UNSTRUCTURED


@verb(interface="io", stage="progress")
def prune(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    output: Pathlike | None = None,
    wanted: Pruning | None = None,
    options: ShrinkOptions | None = None,
    stage: ProgressLike = None,
    *,
    sparsity: float | None = None,
    pattern: str = UNSTRUCTURED,
    scope: str = "file",
    skip: Sequence[str] = (),
    data: DataLike | None = None,
    image: Image = None,
    scheme: str | None = None,
    io: str | None = None,
    layout: str | None = None,
    calibration: int | None = None,
    provenance: bool | None = None,
    metric: str | None = None,
    seed: int | None = None,
    progress: ProgressLike = None,
) -> CompressionResult:
    """Write a file with the least important weights zero, without the zeros where that makes it smaller.

    With samples a weight counts by what it contributes, and the kept weights are fitted again. Whole channels
    are removed by ``prune_channels``.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        wanted: the next four as one object.
        options: the options that prune and cluster share, as one object.
        stage: ``progress``, in its place of an earlier release.
        sparsity: fraction of zeros in the pruned weights, between 0 and 1.
        pattern: ``unstructured``, N:M such as 2:4, or blocks such as 1x4.
        scope: ``file``: all weights in tensors of 256 elements or more have the sparsity; ``layer``: each
            pruned layer; ``global``: the pruned layers together.
        skip: names or kinds of ops that are not pruned.
        data: samples, or signature key → samples; labels measure.
        image: how image files become arrays.
        scheme: ``float`` or a quantization scheme of the file.
        io: type of the model's inputs and outputs.
        layout: ``cpu``, ``npu`` or ``micro``.
        calibration: samples that shape the file, 100 by default.
        provenance: store the recipe and the expected outputs in the file, on by default.
        metric: what the other samples measure, see ``evaluate``.
        seed: of the split.
        progress: see ``tightfit.Progress``.

    Returns:
        the file, its sizes and latency beside the model's, what was done to each layer, and notes.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.

    Example:
        ``tightfit.prune("model.tflite", "small.tflite", sparsity=0.8, data=x)``
    """
    if wanted is None:
        if sparsity is None:
            raise OptionError("Received no sparsity for prune; expected a fraction, such as sparsity=0.8.")
        wanted = Pruning(sparsity, pattern, scope, tuple(skip))
    if not isinstance(wanted, Pruning):
        raise OptionError(f"Received {wanted!r} as the third argument; expected Pruning. Write sparsity=0.8.")
    chosen = shrink_options(options, data, image, scheme, (io, layout, calibration, provenance, seed, metric))
    with tracked(stage if progress is None else progress) as tracker:
        work = WeightCompression(model, output, chosen, tracker.stages)
        moments = work.samples.moments(work.source.model)
        pruned = prune_weights(work.source.model, wanted, moments, work.steps("pruning"))
        work.zeros = True
        work.adopt(
            pruned.model,
            f"pruned to {format_percent(wanted.sparsity, 0)} zeros, {wanted.pattern}, by {wanted.scope}",
        )
        work.make_eligible()
        return work.write(work.plan(), pruned.layers)
