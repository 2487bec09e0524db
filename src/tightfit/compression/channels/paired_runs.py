"""Run a model and its pruned copy side by side, from the last position whose activations are stored.

Fitting one layer after the other would run all earlier ops for each layer: quadratic in depth. So the live
activations of both graphs are stored for every sample at a position where they are few, mostly the end of a
block, and later runs start there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import tee
from typing import Final

from tightfit.graph.copying import copy_graph, copy_model
from tightfit.graph.ir import Graph, Model, Tensor
from tightfit.graph.passes.clean import remove_dead_ops
from tightfit.graph.signatures import input_names, keeps_state, tap
from tightfit.graph.writer import serialize
from tightfit.runtime.child.process import cores
from tightfit.runtime.session import Session
from tightfit.types import Array, Samples

MOST_BYTES: Final = 256_000_000
"""Most bytes of stored activations of all samples; if a position needs more, runs start at the one before."""


class SideBySide:
    """Runs of both graphs on the same samples.

    Args:
        original: the model before pruning.
        pruned: the result of ``remove_channels(original, …)``, with the same ops. Its constants may change
            as long as ``place`` is not behind their ops.
        samples: starts the samples anew at each call.

    Attributes:
        place: index of the op at which runs start. Always 0 for a model that keeps state or calls other
            graphs.
    """

    def __init__(self, original: Model, pruned: Model, samples: Samples) -> None:
        self.models, self.samples = (original, pruned), samples
        self.place = 0
        self.known = {t: n for model in self.models for n, t in input_names(model).items()}
        alone = len(original.graphs) == 1 and not keeps_state(original)
        self._places = narrow_places(original.main) if alone else []
        self._count = 0

    def advance(self, index: int) -> None:
        """Move ``place`` to the last narrow position up to op ``index`` whose activations fit ``MOST_BYTES``.

        Raises:
            DataError: a sample does not fit.
            RuntimeFailureError: LiteRT cannot run a part of a model.
        """
        for place in reversed([p for p in self._places if self.place < p <= index]):
            living = [t for model in self.models for t in living_at(model.main, place)]
            self._count = self._count or sum(1 for _ in self.samples())
            if self._count * _bytes(living) > MOST_BYTES:
                continue
            names = {t: f"value_{i}" for i, t in enumerate(living)}
            kept = [dict(zip(names.values(), values, strict=True)) for values in self.run(living)]
            self.place, self.known, self.samples = place, names, kept.__iter__
            return

    def run(self, watched: Sequence[Tensor]) -> Iterator[list[Array]]:
        """Yield the watched tensors of either graph for each sample, in the given order.

        Raises:
            DataError: a sample does not fit.
            RuntimeFailureError: LiteRT cannot run a part of a model.
        """
        names = {t: f"watched_{i}" for i, t in enumerate(watched) if t not in self.known}
        for sample, found in self._runs(names):
            yield [found[names[t]] if t in names else sample[self.known[t]] for t in watched]

    def _runs(self, names: Mapping[Tensor, str]) -> Iterator[tuple[Mapping[str, Array], Mapping[str, Array]]]:
        if not names:
            yield from ((sample, {}) for sample in self.samples())
            return
        model = self._merged(names)
        taken = set(input_names(model))
        fed, seen = tee(self.samples())
        with Session(bytes(serialize(model)), threads=min(cores(), 2)) as session:
            running = session.run_many({n: s[n] for n in taken} for s in fed)
            yield from zip(seen, running, strict=True)

    def _merged(self, names: Mapping[Tensor, str]) -> Model:
        """One model that runs both graphs from ``place`` up to the named tensors."""
        twin = copy_model(self.models[0])
        graph = twin.main
        second, mapping = copy_graph(self.models[1].main)
        mapping |= dict(zip(self.models[0].main.tensors(), graph.tensors(), strict=True))
        for part in (graph, second):
            for op in reversed(part.ops[: self.place]):
                part.remove(op)
        inputs: dict[str, Tensor] = {}
        for tensor, name in self.known.items():
            same = inputs.setdefault(name, mapping[tensor])
            if same is not mapping[tensor]:
                second.replace_uses(mapping[tensor], same, outputs=False)
        for op in list(second.ops):
            second.remove(op)
            graph.append(op)
        graph.inputs = list(inputs.values())
        named = {n: mapping[t] for t, n in names.items()}
        tap(twin, named, inputs)
        remove_dead_ops(twin)
        if self.place:
            used = {n: t for n, t in inputs.items() if t.consumers}
            graph.inputs = list(used.values())
            tap(twin, named, used)
        return twin


def living_at(graph: Graph, place: int) -> list[Tensor]:
    """Return the tensors computed before op ``place`` that it or a later op reads, in order."""
    position = {op: i for i, op in enumerate(graph.ops)}
    known = [*graph.inputs, *(t for op in graph.ops[:place] for t in op.outputs)]
    return [t for t in known if any(position[reader] >= place for reader, _ in t.consumers)]


def narrow_places(graph: Graph) -> list[int]:
    """Return the op indices before which no more values are live than before both neighbors."""
    # A tensor is live from after its producer to its last reader.
    position = {op: i for i, op in enumerate(graph.ops)}
    sizes = [0] * (len(graph.ops) + 1)
    made = [(t, 0) for t in graph.inputs] + [(t, i + 1) for op, i in position.items() for t in op.outputs]
    for tensor, first in made:
        last = max((position[reader] for reader, _ in tensor.consumers), default=-1)
        for place in range(first, last + 1):
            sizes[place] += _bytes([tensor])
    return [p for p in range(1, len(graph.ops) - 1) if sizes[p] <= min(sizes[p - 1], sizes[p + 1])]


def _bytes(tensors: Sequence[Tensor]) -> int:
    """Size in bytes of the tensors with 4 bytes an element, which nearly all have."""
    return sum(4 * t.size for t in tensors)
