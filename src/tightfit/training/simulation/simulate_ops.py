"""Compare the simulation with the device op by op, each with the device's own inputs.

The quantized file runs in LiteRT with its inner tensors as outputs. Every integer op of the network then gets
the inputs of the device's op, so that differences do not accumulate along the graph, and its result is
compared with the device's in steps of the output's scale. Ops with a row in ``device_kernels`` are computed
in integers as LiteRT's CPU kernels do, to the bit; the others in rounded reals, as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
from keras import ops

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample, TensorLike
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import tap
from tightfit.graph.writer import serialize
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.plan import INTEGER, Plan
from tightfit.runtime.session import Session
from tightfit.training.graph_call import Call
from tightfit.training.integer.device_kernels import DeviceKernels
from tightfit.training.network import Network
from tightfit.training.simulation.comparison import OpDifference, Simulation
from tightfit.training.simulation.top1_agreement import Decisions
from tightfit.types import Array

_COMPARED: Final = 8


class Runs(Protocol):
    """What runs a file: a ``runtime.Session``, or a session elsewhere."""

    @property
    def inputs(self) -> Sequence[TensorLike]: ...  # noqa: D102 - see Session

    def run(self, inputs: Mapping[str, Array], /) -> dict[str, Array]: ...  # noqa: D102 - see Session

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


Opens = Callable[[str | Path | bytes], Runs]


def simulate(  # noqa: PLR0913 - the options of one comparison
    model: Model,
    plan: Plan,
    file: str | Path,
    samples: Iterable[Sample],
    *,
    compared: int = _COMPARED,
    progress: Callable[[int], None] | None = None,
    device: str | None = None,
    opens: Opens = Session,
) -> Simulation:
    """Compare the network of a plan with the file that was written from it.

    Args:
        model: the float model that the plan was made for.
        plan: the plan that the file was written from.
        file: the quantized file, in any layout that keeps the integer tensors.
        samples: real samples of a ``Dataset``, read once.
        compared: number of samples for the comparison of ops.
        progress: progress callback, called with the number of samples done.
        device: whose kernels are simulated, see ``DeviceKernels``.
        opens: opens a file on that device.

    Raises:
        ModelError: the model cannot be trained.
        RuntimeFailureError: LiteRT cannot run the file.
    """
    network = Network(model, plan, ranges="fixed", check=False)
    kernels = DeviceKernels(network, device)
    tapped = _Tapped(read_model(file), model, plan)
    worst = {op: np.zeros(2) for op in tapped.ops}
    decisions = Decisions(network, kernels)
    known: dict[Tensor, Array] = {}
    with opens(tapped.bytes) as taps, opens(file) as runs:
        for count, sample in enumerate(samples):
            if count < compared:
                raw = taps.run(adapt_inputs(sample, taps.inputs))
                seen = {t: tapped.real(t, raw[n]) for t, n in tapped.names.items()}
                known = _known_values(network, kernels, sample) if count == 0 else known
                for op in tapped.ops:
                    found = _difference(network, kernels, op, seen, known)
                    worst[op] = np.asarray([max(worst[op][0], found[0]), worst[op][1] + found[1]])
            decisions.add(sample, runs.run(adapt_inputs(sample, runs.inputs)))
            if progress is not None:
                progress(count + 1)
    decisions.run()
    count = decisions.count
    over = max(min(compared, count), 1)
    differences = [OpDifference(o.name, o.kind, float(w[0]), float(w[1]) / over) for o, w in worst.items()]
    shares = (decisions.equal / max(count, 1), decisions.tied / max(count, 1))
    left_out, simulated = tapped.left_out, kernels.device
    return Simulation(
        differences, *shares, count, min(compared, count), left_out, device=simulated,
        decides=decisions.decides,
    )  # fmt: skip


def _known_values(network: Network, kernels: DeviceKernels, sample: Sample) -> dict[Tensor, Array]:
    """The tensors that are equal for every sample, such as shapes that the graph computes."""
    call = Call(network.program, "float32", training=False, rounded=True, kernels=kernels)
    for name, tensor in network.input_tensors.items():
        call.enter(tensor, network.with_sample_axis(tensor, sample.inputs[name]))
    for index, op in enumerate(network.source.main.ops):
        call.compute(index, op)
    return {t: np.asarray(v) for t, v in call.values.items() if isinstance(v, np.ndarray | np.generic)}


def _difference(
    network: Network, kernels: DeviceKernels, op: Op, device: Mapping[Tensor, Array],
    known: Mapping[Tensor, Array],
) -> Array:  # fmt: skip
    """Return (largest difference in steps, share that differs) of one op for one sample."""
    graph = network.source.main
    index = graph.ops.index(op)
    call = Call(network.program, "float32", training=False, rounded=True, kernels=kernels)
    call.values.update(known)
    for tensor in op.inputs:
        if tensor is not None and not tensor.is_constant and tensor in device and tensor not in known:
            call.values[tensor] = ops.convert_to_tensor(device[tensor][None])
            held = _held_point(network, tensor)
            if held is not None:
                call.held[tensor] = held
    call.compute(index, op)
    worst = np.zeros(2)
    for position, tensor in enumerate(op.outputs):
        point = network.program.points.outputs.get((index, position))
        if point is None or tensor not in device:
            continue
        simulated = np.asarray(ops.convert_to_numpy(call.value(tensor)), np.float64)[0]
        # Both are whole numbers of steps up to float32's last bit.
        gap = np.abs(
            np.rint(simulated / point.storage.scale[0]) - np.rint(device[tensor] / point.storage.scale[0])
        )
        worst = np.maximum(worst, [gap.max(initial=0.0), float((gap > 0).mean()) if gap.size else 0.0])
    return worst


def _held_point(network: Network, tensor: Tensor) -> Any:
    """The point of an activation on the device."""
    entry = network.program.points.entries.get(tensor)
    if entry is not None or tensor.producer is None:
        return entry
    index = network.source.main.ops.index(tensor.producer)
    return network.program.points.outputs.get((index, tensor.producer.outputs.index(tensor)))


class _Tapped:
    """The quantized file with the twins of the float model's tensors as outputs."""

    def __init__(self, file: Model, model: Model, plan: Plan) -> None:
        inner = {t.name: t for op in file.main.ops for t in op.outputs} | {
            t.name: t for t in file.main.inputs
        }
        keys = model.main.keys()
        self.twins: dict[Tensor, Tensor] = {}
        for tensor in model.main.tensors():
            forms = plan.graphs[0].tensors.get(keys[tensor], {})
            # A float output of the file has its integers in a tensor of another name.
            names = [f"{tensor.name}_{dtype}" for dtype in forms] + [tensor.name]
            twin = next((inner[n] for n in names if n in inner), None)
            if not tensor.is_constant and twin is not None and twin.shape == tensor.shape:
                self.twins[tensor] = twin
        self.ops = self._comparable(model, plan)
        self.names = {t: str(i) for i, t in enumerate(self.twins)}
        self.bytes = self._serialize(file)

    def _comparable(self, model: Model, plan: Plan) -> list[Op]:
        """The integer ops whose inputs and outputs are tensors of the file."""
        pairs = zip(model.main.ops, plan.graphs[0].ops, strict=True)
        # A variable holds its last value when it is read, not what the op wrote.
        kept = {op for op in model.main.ops if any(t.is_variable for t in op.outputs)}
        integer = [op for op, decision in pairs if decision.mode == INTEGER and op not in kept]
        found = [op for op in integer if all(self._is_seen(t) for t in (*op.inputs, *op.outputs))]
        self.left_out = len(integer) - len(found)
        return found

    def _is_seen(self, tensor: Tensor | None) -> bool:
        """True for a tensor that the comparison can read or that is equal for all samples."""
        return tensor is None or tensor.is_constant or tensor in self.twins or tensor.dtype != "float32"

    def _serialize(self, file: Model) -> bytes:
        outputs = {name: self.twins[tensor] for tensor, name in self.names.items()}
        tap(file, outputs)
        return serialize(file)

    def real(self, tensor: Tensor, raw: Array) -> Array:
        """Return the device's values as reals."""
        q = self.twins[tensor].quantization
        return raw if q is None or not q.is_affine else dequantize(raw, q.scale, q.zero_point)
