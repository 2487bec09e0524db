"""A ``ray.data`` dataset as blocks: they stay in the object store, and go to the task that reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from tightfit.data.tables.row_source import Row
from tightfit.errors import DataError


def is_ray_dataset(data: Any) -> bool:
    """Return whether data is a dataset of Ray, which is not imported for that."""
    return type(data).__module__.startswith("ray.data") and hasattr(data, "materialize")


class RayBlocks:
    """The blocks of a dataset, computed once by the cluster.

    Attributes:
        references: to the blocks; only they travel with the data.

    Args:
        dataset: a ``ray.data.Dataset``.

    Raises:
        DataError: the dataset has no rows.
    """

    kind = "ray.data"
    name = "ray.data"

    def __init__(self, dataset: Any) -> None:
        import ray  # noqa: PLC0415 - the dataset was made with it

        made = dataset.materialize()
        self.references = made.to_arrow_refs()
        count = ray.remote(num_cpus=0)(lambda table: table.num_rows)
        self.counts = [int(n) for n in ray.get([count.remote(table) for table in self.references])]
        schema = made.schema()
        if schema is None:
            raise DataError("The ray.data dataset has no rows. Pass one with samples.")
        self.columns: tuple[str, ...] = tuple(schema.names)
        facts = [self.columns, [str(kind) for kind in schema.types], self.counts, sorted(made.input_files())]
        self._facts = repr(facts)

    def read(self, block: int, columns: Sequence[str], within: Sequence[int] | None) -> Iterator[Row]:
        """Yield rows of a block, which is fetched by the process that reads it."""
        import ray  # noqa: PLC0415 - see above
        from ray.data.block import BlockAccessor  # noqa: PLC0415 - as above

        access = BlockAccessor.for_block(ray.get(self.references[block]))
        chosen = access.select(list(columns))
        if within is not None:
            chosen = BlockAccessor.for_block(chosen).take(list(within))
        yield from BlockAccessor.for_block(chosen).iter_rows(public_row_format=True)

    def fingerprint(self) -> str:
        """SHA-256 over columns, types, sizes of the blocks and names of the files read."""
        return hashlib.sha256(self._facts.encode()).hexdigest()
