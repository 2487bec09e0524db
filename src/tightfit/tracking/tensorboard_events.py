"""Records as event files of TensorBoard: scalars, a table, and candidates in its HParams view."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tightfit.errors import OptionError
from tightfit.tracking.records import Record

_NEEDED: Final = "Logging to TensorBoard needs tensorboard: pip install 'tightfit[tensorboard]'."


def log_tensorboard(record: Record, folder: Path) -> Path:
    """Write event files for a record below a folder, and return the record's own folder.

    Args:
        record: the result.
        folder: that ``tensorboard --logdir`` is given.

    Raises:
        OptionError: tensorboard is not installed, or the folder cannot be written.
    """
    try:
        import tensorboard  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise OptionError(_NEEDED) from error
    place = folder / _file_name(record.name)
    try:
        _write(place, record, is_part=False)
        for part in record.parts:
            _write(place / _file_name(part.name), part, is_part=True)
    except OSError as error:
        raise OptionError(
            f"'{folder}' cannot be written ({error.strerror}); choose another folder."
        ) from error
    return place


def _write(folder: Path, record: Record, *, is_part: bool) -> None:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: PLC0415 - an extra

    folder.mkdir(parents=True, exist_ok=True)
    writer = EventFileWriter(str(folder))
    try:
        for summary, step in _summaries(record, is_part=is_part):
            writer.add_event(_event(summary, step))
    finally:
        writer.close()


def _event(summary: Any, step: int) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - an extra

    return Event(summary=summary, step=step, wall_time=time.time())


def _summaries(record: Record, *, is_part: bool) -> Iterator[tuple[Any, int]]:
    """Yield the summaries of a record with their steps."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415 - an extra
    from tensorboard.plugins.hparams import summary_v2  # noqa: PLC0415 - the same

    if is_part:
        yield summary_v2.hparams_pb(dict(record.params), trial_id=record.name), 0
    for name, value in record.metrics.items():
        yield Summary(value=[Summary.Value(tag=name, simple_value=value)]), 0
    for step, row in enumerate(record.history):
        for name, value in row.items():
            yield Summary(value=[Summary.Value(tag=name, simple_value=value)]), step
    if record.text:
        yield _text("candidates", record.text), 0


def _text(tag: str, text: str) -> Any:
    """A summary that the text view shows."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # noqa: PLC0415 - an extra
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # noqa: PLC0415 - the same
    from tensorboard.compat.proto.types_pb2 import DT_STRING  # noqa: PLC0415 - the same
    from tensorboard.plugins.text.metadata import create_summary_metadata  # noqa: PLC0415 - the same

    made: SummaryMetadata = create_summary_metadata(tag, "")
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
    return Summary(value=[Summary.Value(tag=tag, metadata=made, tensor=tensor)])


def _file_name(name: str) -> str:
    """A name without what folders cannot have."""
    return "".join(c if c.isalnum() or c in "-_.+" else "_" for c in name).strip(".") or "run"
