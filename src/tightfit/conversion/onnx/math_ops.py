"""ONNX ops that compute element by element, and reductions. One row an op.

Source: the operator documents of ONNX, opset 7 to 23.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp

# -- one input -------------------------------------------------------------------------------------


def _of(function: Callable[[Any], Any]) -> OnnxOp:
    """A function of JAX that takes one array."""
    return OnnxOp(lambda _, x: function(x), Layout.ELEMENTWISE)


def _named(name: str) -> OnnxOp:
    """A function that NumPy and JAX call by the same name."""
    return OnnxOp(lambda n, *x: getattr(n.xp, name)(*x), Layout.ELEMENTWISE)


def _gelu(n: OnnxNode, x: Any) -> Any:
    tanh = n.get("approximate", "none") == "tanh"
    word = "tanh" if tanh else "none"
    # The converter knows this composite as the GELU op; written out it would be 60 ops.
    whole = lax.composite(lambda v, **_: nn.gelu(v, approximate=tanh), "aten.gelu.default")
    return whole(x, approximate=word)


def _clip(n: OnnxNode, x: Any, low: Any = None, high: Any = None) -> Any:
    low = n.get("min") if low is None else low
    high = n.get("max") if high is None else high
    if low is not None:
        x = n.xp.maximum(x, np.asarray(low, x.dtype) if _known(low) else low)
    if high is not None:
        x = n.xp.minimum(x, np.asarray(high, x.dtype) if _known(high) else high)
    return x


def _known(value: Any) -> bool:
    return isinstance(value, int | float | np.ndarray | np.generic)


def _scaled(function: Callable[..., Any], **defaults: float) -> OnnxOp:
    """A function with attributes such as alpha and beta."""
    return OnnxOp(
        lambda n, x: function(x, *(n.get(name, value) for name, value in defaults.items())),
        Layout.ELEMENTWISE,
    )


def _leaky(x: Any, alpha: float) -> Any:
    """The converter knows the larger of both as LEAKY_RELU, in this order; that is right up to alpha 1."""
    return jnp.maximum(alpha * x, x) if 0 <= alpha <= 1 else jnp.where(x < 0, alpha * x, x)


def _cast(n: OnnxNode, x: Any, like: Any = None) -> Any:
    dtype = np.dtype(like.dtype) if like is not None else n.get("to")
    if n.xp is np:
        return np.asarray(x).astype(dtype)
    return x.astype(jax.dtypes.canonicalize_dtype(dtype))


def _prelu(n: OnnxNode, x: Any, slope: Any) -> Any:
    return n.xp.where(x < 0, x * slope, x)


# -- two and more ----------------------------------------------------------------------------------


def _divide(n: OnnxNode, a: Any, b: Any) -> Any:
    if np.dtype(a.dtype).kind in "iu":
        return n.xp.sign(a) * n.xp.sign(b) * (abs(a) // abs(b))  # towards zero
    return a / b


def _power(n: OnnxNode, a: Any, b: Any) -> Any:
    if isinstance(b, np.ndarray) and b.size == 1:
        exponent = float(b.reshape(()))
        plain = {0.5: n.xp.sqrt, 1.0: lambda v: v, 2.0: lambda v: v * v, -1.0: lambda v: 1 / v}
        if exponent in plain and np.dtype(a.dtype).kind == "f":
            return plain[exponent](a)
    return n.xp.power(a, b.astype(a.dtype))


def _modulo(n: OnnxNode, a: Any, b: Any) -> Any:
    if not n.get("fmod", 0) or n.xp is np:
        return n.xp.fmod(a, b) if n.get("fmod", 0) else n.xp.mod(a, b)
    # litert-converter 0.5 writes the remainder of C as FLOOR_MOD, which has the divisor's sign.
    quotient = a / b
    return a - b * jnp.sign(quotient) * jnp.floor(abs(quotient))


def _folded(function: Callable[[Any, Any, Any], Any]) -> OnnxOp:
    """Sum, Max, Min: any number of inputs."""

    def over(n: OnnxNode, *arrays: Any) -> Any:
        total = arrays[0]
        for array in arrays[1:]:
            total = function(n.xp, total, array)
        return total

    return OnnxOp(over, Layout.ELEMENTWISE)


def _mean(n: OnnxNode, *arrays: Any) -> Any:
    return _SUM.function(n, *arrays) / np.asarray(len(arrays), arrays[0].dtype)


_SUM: Final = _folded(lambda _, a, b: a + b)


# -- reductions ------------------------------------------------------------------------------------


def _reduction(function: Callable[[Any, Any, tuple[int, ...]], Any]) -> OnnxOp:
    """Reduces with kept axes; the interpreter drops them in ONNX's order when that is asked for."""

    def reduce(n: OnnxNode, x: Any, axes: Any = None) -> Any:
        chosen = n.numbers("axes", axes)
        if not chosen:
            if n.get("noop_with_empty_axes", 0):
                return x
            chosen = list(range(x.ndim))
        return function(n.xp, x, tuple(n.axis(a, x.ndim) for a in chosen))

    return OnnxOp(reduce, Layout.AXES)


def _logsumexp(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    top = xp.max(x, axis=axes, keepdims=True)
    return xp.log(xp.sum(xp.exp(x - top), axis=axes, keepdims=True)) + top


def _extreme(name: str) -> OnnxOp:
    def find(n: OnnxNode, x: Any) -> Any:
        axis = n.axis(n.get("axis", 0), x.ndim)
        last = n.get("select_last_index", 0)
        found = getattr(n.xp, name)(n.xp.flip(x, axis) if last else x, axis=axis)
        return n.xp.expand_dims(x.shape[axis] - 1 - found if last else found, axis)

    return OnnxOp(find, Layout.AXES)


def _softmax(function: Callable[..., Any]) -> OnnxOp:
    def apply(n: OnnxNode, x: Any) -> Any:
        axis = n.get("axis", -1 if n.opset >= 13 else 1)
        last = axis % x.ndim == x.ndim - 1
        if n.opset < 13 and not last and not all(s == 1 for s in x.shape[axis + 1 :]):
            rows = x.reshape((int(np.prod(x.shape[:axis])), -1))  # the old one softens all that follows
            return function(rows, axis=-1).reshape(x.shape)
        return function(x, axis=axis % x.ndim)

    return OnnxOp(apply)


def _hardmax(n: OnnxNode, x: Any) -> Any:
    axis = n.get("axis", -1)
    return nn.one_hot(jnp.argmax(x, axis=axis), x.shape[axis], dtype=x.dtype, axis=axis)


def _cumsum(n: OnnxNode, x: Any, axis: Any) -> Any:
    place = int(n.constant(axis, "axis").reshape(()))
    if n.get("reverse", 0):
        x = n.xp.flip(x, place)
    total = n.xp.cumsum(x, axis=place)
    total = total - x if n.get("exclusive", 0) else total
    return n.xp.flip(total, place) if n.get("reverse", 0) else total


def _is_infinite(n: OnnxNode, x: Any) -> Any:
    sides = [s for s, name in ((np.inf, "detect_positive"), (-np.inf, "detect_negative")) if n.get(name, 1)]
    found = n.xp.zeros(x.shape, bool)
    for side in sides:
        found = n.xp.logical_or(found, x == np.asarray(side, x.dtype))
    return found


def _exclusive_or(n: OnnxNode, a: Any, b: Any) -> Any:
    """LiteRT has no LOGICAL_XOR: one is true and not both are."""
    return n.xp.logical_and(n.xp.logical_or(a, b), n.xp.logical_not(n.xp.logical_and(a, b)))


_SAME_NAMES: Final = {
    "Abs": "abs", "Acos": "arccos", "Acosh": "arccosh", "Asin": "arcsin", "Asinh": "arcsinh",
    "Atan": "arctan", "Atanh": "arctanh", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Exp": "exp",
    "Floor": "floor", "IsNaN": "isnan", "Log": "log", "Neg": "negative", "Not": "logical_not",
    "Round": "round", "Sign": "sign",
    "Sin": "sin", "Sinh": "sinh", "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh",
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "And": "logical_and", "Or": "logical_or",
    "Equal": "equal", "Greater": "greater", "GreaterOrEqual": "greater_equal",
    "Less": "less", "LessOrEqual": "less_equal", "Where": "where", "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "BitwiseNot": "invert",
}  # fmt: skip

_ELEMENTS: Final[dict[str, OnnxOp]] = {
    "Cast": OnnxOp(_cast, Layout.ELEMENTWISE, "64-bit types become 32-bit ones"),
    "CastLike": OnnxOp(_cast, Layout.ELEMENTWISE),
    "Celu": _scaled(nn.celu, alpha=1.0),
    "Clip": OnnxOp(_clip, Layout.ELEMENTWISE),
    "Div": OnnxOp(_divide, Layout.ELEMENTWISE),
    "Elu": _scaled(nn.elu, alpha=1.0),
    "Erf": _of(jax.scipy.special.erf),
    "Gelu": OnnxOp(_gelu, Layout.ELEMENTWISE),
    "HardSigmoid": _scaled(lambda x, a, b: jnp.clip(a * x + b, 0, 1), alpha=0.2, beta=0.5),
    "HardSwish": _of(lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1)),
    "IsInf": OnnxOp(_is_infinite, Layout.ELEMENTWISE),
    "LeakyRelu": _scaled(_leaky, alpha=0.01),
    "Max": _folded(lambda xp, a, b: xp.maximum(a, b)),
    "Mean": OnnxOp(_mean, Layout.ELEMENTWISE),
    "Min": _folded(lambda xp, a, b: xp.minimum(a, b)),
    "Mish": _of(lambda x: x * jnp.tanh(nn.softplus(x))),
    "Mod": OnnxOp(_modulo, Layout.ELEMENTWISE),
    "PRelu": OnnxOp(_prelu, Layout.ELEMENTWISE),
    "Pow": OnnxOp(_power, Layout.ELEMENTWISE),
    "Reciprocal": _of(lambda x: 1 / x),
    "Relu": _of(lambda x: jnp.maximum(x, 0)),
    "Selu": _scaled(
        lambda x, a, g: g * jnp.where(x > 0, x, a * (jnp.exp(x) - 1)),
        alpha=1.67326319217681884765625, gamma=1.05070102214813232421875,
    ),
    "Shrink": _scaled(
        lambda x, bias, lambd: jnp.where(x < -lambd, x + bias, jnp.where(x > lambd, x - bias, 0)),
        bias=0.0, lambd=0.5,
    ),
    "Sigmoid": _of(nn.sigmoid),
    "Softplus": _of(nn.softplus),
    "Softsign": _of(lambda x: x / (1 + abs(x))),
    "Sum": _SUM,
    "Swish": _scaled(lambda x, a: x * nn.sigmoid(a * x), alpha=1.0),
    "ThresholdedRelu": _scaled(lambda x, a: jnp.where(x > a, x, 0), alpha=1.0),
    "Xor": OnnxOp(_exclusive_or, Layout.ELEMENTWISE),
}  # fmt: skip

_REDUCTIONS: Final[dict[str, OnnxOp]] = {
    "ReduceL1": _reduction(lambda xp, x, a: xp.sum(abs(x), axis=a, keepdims=True)),
    "ReduceL2": _reduction(lambda xp, x, a: xp.sqrt(xp.sum(x * x, axis=a, keepdims=True))),
    "ReduceLogSum": _reduction(lambda xp, x, a: xp.log(xp.sum(x, axis=a, keepdims=True))),
    "ReduceLogSumExp": _reduction(_logsumexp),
    "ReduceMax": _reduction(lambda xp, x, a: xp.max(x, axis=a, keepdims=True)),
    "ReduceMean": _reduction(lambda xp, x, a: xp.mean(x, axis=a, keepdims=True)),
    "ReduceMin": _reduction(lambda xp, x, a: xp.min(x, axis=a, keepdims=True)),
    "ReduceProd": _reduction(lambda xp, x, a: xp.prod(x, axis=a, keepdims=True)),
    "ReduceSum": _reduction(lambda xp, x, a: xp.sum(x, axis=a, keepdims=True)),
    "ReduceSumSquare": _reduction(lambda xp, x, a: xp.sum(x * x, axis=a, keepdims=True)),
    "ArgMax": _extreme("argmax"),
    "ArgMin": _extreme("argmin"),
}


def _normalize(n: OnnxNode, x: Any) -> Any:
    axes = tuple(n.get("axes", (0, 2, 3)))
    apart = x - n.xp.mean(x, axis=axes, keepdims=True)
    return apart / n.xp.sqrt(n.xp.mean(apart * apart, axis=axes, keepdims=True) + 1e-9)


MATH: Final[dict[str, OnnxOp]] = {
    **{kind: _named(name) for kind, name in _SAME_NAMES.items()},
    **_ELEMENTS,
    **_REDUCTIONS,
    "CumSum": OnnxOp(_cumsum),
    "Hardmax": OnnxOp(_hardmax),
    "LogSoftmax": _softmax(nn.log_softmax),
    "MeanVarianceNormalization": OnnxOp(_normalize),
    "Softmax": _softmax(nn.softmax),
}
