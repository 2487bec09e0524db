"""How much memory a model needs at least on any device: its weights, and its activations at their peak."""

from __future__ import annotations

from tightfit.graph.ir import Graph, Model, Tensor
from tightfit.graph.summary import stored_bytes


def weight_bytes(model: Model) -> int:
    """Return the bytes of all constants; shared ones count once."""
    seen: dict[int, int] = {}
    for graph in model.graphs:
        for tensor in graph.tensors():
            if tensor.data is not None:
                seen[id(tensor.data)] = stored_bytes(tensor)
    return sum(seen.values())


def peak_bytes(graph: Graph) -> int:
    """Return the largest sum of tensors that are alive at once when ops run in the file's order.

    A lower bound of any arena: alignment, scratch buffers and fragmentation come on top; an in-place op saves
    what it reads.

    Example:
        >>> from tightfit.graph.ir import Op
        >>> x, y, z = (Tensor(n, (1, 100), "int8") for n in "xyz")
        >>> g = Graph()
        >>> g.inputs, g.outputs = [x], [z]
        >>> _ = g.append(Op("RELU", [x], [y])), g.append(Op("TANH", [y], [z]))
        >>> peak_bytes(g)
        200
    """
    births, deaths = _lives(graph)
    peak = alive = 0
    for step in range(len(graph.ops) + 1):
        alive += sum(stored_bytes(t) for t in births.get(step, ()))
        peak = max(peak, alive)
        alive -= sum(stored_bytes(t) for t in deaths.get(step, ()))
    return peak


def _lives(graph: Graph) -> tuple[dict[int, list[Tensor]], dict[int, list[Tensor]]]:
    """Step → tensors that it makes, and tensors that it reads for the last time; step 0 is the call."""
    births: dict[int, list[Tensor]] = {0: [t for t in graph.inputs if not t.is_constant]}
    last = dict.fromkeys(births[0], 0)
    for step, op in enumerate(graph.ops, start=1):
        births[step] = list(op.outputs)
        last.update(dict.fromkeys(op.outputs, step))
        last.update({t: step for t in op.inputs if t is not None and t in last})
    last.update({t: len(graph.ops) for t in graph.outputs if t in last})
    deaths: dict[int, list[Tensor]] = {}
    for tensor, step in last.items():
        deaths.setdefault(step, []).append(tensor)
    return births, deaths


def memory_by_op(graph: Graph) -> list[tuple[int, int]]:
    """Return for each op the bytes of the constants that it is the first to read, and what is alive in it.

    Example:
        >>> from tightfit.graph.ir import Op
        >>> x, y = (Tensor(n, (1, 100), "int8") for n in "xy")
        >>> g = Graph()
        >>> g.inputs, g.outputs = [x], [y]
        >>> _ = g.append(Op("RELU", [x], [y]))
        >>> memory_by_op(g)
        [(0, 200)]
    """
    births, deaths = _lives(graph)
    alive = sum(stored_bytes(t) for t in births[0]) - sum(stored_bytes(t) for t in deaths.get(0, ()))
    seen: set[int] = set()
    found = []
    for step, op in enumerate(graph.ops, start=1):
        alive += sum(stored_bytes(t) for t in births[step])
        constants = {id(t.data): stored_bytes(t) for t in op.inputs if t is not None and t.data is not None}
        found.append((sum(size for key, size in constants.items() if key not in seen), alive))
        seen |= set(constants)
        alive -= sum(stored_bytes(t) for t in deaths.get(step, ()))
    return found
