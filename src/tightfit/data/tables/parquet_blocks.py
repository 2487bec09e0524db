"""Parquet files as blocks: a row group is read when a row of it is wanted, and only columns that count."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tightfit.data.tables.row_source import Row, content_fingerprint
from tightfit.errors import DataError, OptionError, first_line

SUFFIX = ".parquet"


class ParquetBlocks:
    """The row groups of one or several parquet files.

    Args:
        name: of the data.
        files: in the order of their rows.

    Raises:
        OptionError: pyarrow is not installed.
        DataError: a file is no parquet file.
    """

    kind = "parquet"

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self.name, self.files = name, list(files)
        self._parquet = _pyarrow()
        self._groups: list[tuple[int, int]] = []
        self.counts: list[int] = []
        for number, path in enumerate(self.files):
            facts = self._open(path).metadata
            for group in range(facts.num_row_groups):
                self._groups.append((number, group))
                self.counts.append(facts.row_group(group).num_rows)
        self.columns = tuple(self._open(self.files[0]).schema_arrow.names)

    def read(self, block: int, columns: Sequence[str], within: Sequence[int] | None) -> Iterator[Row]:
        """Yield rows of a row group."""
        number, group = self._groups[block]
        path = self.files[number]
        try:
            table = self._open(path).read_row_group(group, columns=list(columns))
        except (OSError, ValueError) as error:  # Arrow's errors are of these classes
            raise DataError(f"'{path.name}' cannot be read: {first_line(error)}.") from error
        chosen = table if within is None else table.take(list(within))
        for batch in chosen.to_batches(max_chunksize=64):
            yield from batch.to_pylist()

    def fingerprint(self) -> str:
        """SHA-256 over the names and contents of the files."""
        return content_fingerprint(self.files)

    def _open(self, path: Path) -> Any:
        try:
            return self._parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        except (OSError, ValueError) as error:
            raise DataError(f"'{path.name}' is no parquet file: {first_line(error)}.") from error


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise OptionError(
            "Parquet files need pyarrow. Install it with pip install 'tightfit[parquet]'."
        ) from error
