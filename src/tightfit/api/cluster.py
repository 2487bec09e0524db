"""The verb ``cluster``: weights share few values, proven on LiteRT."""

from __future__ import annotations

from tightfit.api.parameters.arguments import Image
from tightfit.api.parameters.shrink_options import ShrinkOptions, shrink_options
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.results.compression_result import CompressionResult
from tightfit.api.weight_compression import WeightCompression
from tightfit.compression.clustering import Clusters, cluster_weights
from tightfit.errors import OptionError
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.spoken import verb


@verb(interface="io", stage="progress", count="clusters")
def cluster(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    output: Pathlike | None = None,
    wanted: Clusters | None = None,
    options: ShrinkOptions | None = None,
    stage: ProgressLike = None,
    *,
    clusters: int | None = None,
    per: str = "tensor",
    initial: str = "kmeans++",
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
    """Write a file whose weights share few values, which compression (zip, zstd, look-up tables) finds.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        wanted: the next three as one object.
        options: the options that prune and cluster share, as one object.
        stage: ``progress``, in its place of an earlier release.
        clusters: distinct values a tensor (or a channel), 2 to 256.
        per: ``tensor`` or ``channel``.
        initial: centroid initialization: ``kmeans++``, ``linear`` or ``density``.
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
        ``tightfit.cluster("model.tflite", "small.tflite", clusters=16)``
    """
    if wanted is None:
        if clusters is None:
            raise OptionError("Received no number of clusters; expected 2 to 256, such as clusters=16.")
        wanted = Clusters(clusters, per, initial)
    if not isinstance(wanted, Clusters):
        raise OptionError(f"Received {wanted!r} as the third argument; expected Clusters. Write clusters=16.")
    chosen = shrink_options(options, data, image, scheme, (io, layout, calibration, provenance, seed, metric))
    with tracked(stage if progress is None else progress) as tracker:
        work = WeightCompression(model, output, chosen, tracker.stages)
        plan = work.plan()
        clustered = cluster_weights(work.source.model, wanted, plan)
        work.adopt(clustered.model, f"clustered to {wanted.count} values for each {wanted.per}")
        return work.write(plan, clustered.layers)
