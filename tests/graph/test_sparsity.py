from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.models import Builder
from tightfit.errors import ModelError
from tightfit.graph.ir import Sparsity, Tensor
from tightfit.graph.sparsity import dense_values
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session

Formats = Sequence[str]


def encode(dense: np.ndarray, order: Sequence[int], blocks: dict[int, int], formats: Formats) -> Tensor:
    """The sparse constant of an array: a plain walk over the tree, one node at a time.

    Args:
        dense: the values. order: the traversal order, block dimensions last.
        blocks: dimension → block size. formats: ``dense`` or ``csr`` for each level.
    """
    rank, targets = dense.ndim, list(blocks)
    split = [n // blocks.get(i, 1) for i, n in enumerate(dense.shape)] + [blocks[t] for t in targets]

    def value(place: tuple[int, ...]) -> np.ndarray:
        """The elements below a node: the coordinates of its levels are given, the others run."""
        given_ = dict(zip(order, place, strict=False))
        index = []
        for i in range(rank):
            inner = rank + targets.index(i) if i in blocks else None
            size = blocks.get(i, 1)
            outer = [given_[i]] if i in given_ else range(split[i])
            rest = range(size) if inner is None or inner not in given_ else [given_[inner]]
            index.append([o * size + r for o in outer for r in rest])
        return dense[np.ix_(*index)]

    nodes: list[tuple[int, ...]] = [()]
    dimensions: list[tuple] = []
    for level, kind in zip(order, formats, strict=True):
        size = split[level]
        children = [[(*n, c) for c in range(size) if kind == "dense" or value((*n, c)).any()] for n in nodes]
        if kind == "dense":
            dimensions.append(("dense", size))
        else:
            segments = np.cumsum([0, *(len(c) for c in children)])
            dimensions.append(("csr", segments, np.array([n[-1] for c in children for n in c], np.int32)))
        nodes = list(itertools.chain(*children))
    stored = np.array([value(n).item() for n in nodes], dense.dtype)
    sparsity = Sparsity(tuple(order), tuple(targets), tuple(dimensions))
    return Tensor("w", dense.shape, dense.dtype.name, stored, sparsity=sparsity)


@st.composite
def cases(draw: st.DrawFn):
    rank = draw(st.integers(1, 4))
    blocks = {i: draw(st.integers(1, 3)) for i in draw(st.sets(st.integers(0, rank - 1)))}
    shape = [draw(st.integers(1, 3)) * blocks.get(i, 1) for i in range(rank)]
    count = int(np.prod(shape))
    values = draw(st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0]), min_size=count, max_size=count))
    inner = draw(st.permutations(range(rank, rank + len(blocks))))
    order = [*draw(st.permutations(range(rank))), *inner]
    formats = [draw(st.sampled_from(["dense", "csr"])) if d < rank else "dense" for d in order]
    return np.array(values, np.float32).reshape(shape), order, blocks, formats


@settings(deadline=None)
@given(cases())
def test_any_traversal_any_blocks_and_csr_in_any_dimension_decode(case):
    dense, order, blocks, formats = case
    np.testing.assert_array_equal(dense_values(encode(dense, order, blocks, formats)), dense)


def test_litert_densifies_to_the_same_values():
    random = np.random.default_rng(0)
    b = Builder()
    outputs = []
    for name, shape, order, blocks, formats in (
        ("rows", [4, 6], [0, 1], {}, ["dense", "csr"]),
        ("columns", [4, 6], [1, 0], {}, ["dense", "csr"]),
        ("blocks", [4, 8], [0, 1, 2], {1: 4}, ["dense", "csr", "dense"]),
        ("squares", [4, 8], [0, 1, 2, 3], {0: 2, 1: 2}, ["dense", "csr", "dense", "dense"]),
        ("filters", [3, 2, 2, 8], [0, 1, 2, 3], {}, ["dense", "dense", "dense", "csr"]),
    ):
        dense = random.standard_normal(shape).astype(np.float32) * (random.random(shape) < 0.4)
        sparse = encode(dense, order, blocks, formats)
        densified = b.op("DENSIFY", [sparse], shape, table="DensifyOptions")
        x = b.op("MUL", [b.input(f"x_{name}", shape), densified], shape, name=name, table="MulOptions")
        outputs.append((x, dense, sparse))
    model = b.model(*(x for x, *_ in outputs))
    with Session(serialize(model), delegate=False) as session:
        results = session.run({t.name: np.ones(t.shape, np.float32) for t in model.main.inputs})
    for x, dense, sparse in outputs:
        np.testing.assert_array_equal(results[x.name], dense)
        np.testing.assert_array_equal(dense_values(sparse), dense)


def test_a_dense_constant_is_given_without_a_copy():
    values = np.ones((2, 2), np.float32)
    assert dense_values(Tensor("w", [2, 2], data=values)) is values


def test_an_empty_and_a_full_tensor_decode():
    for dense in (np.zeros((3, 4), np.int8), np.ones((3, 4), np.int8)):
        decoded = dense_values(encode(dense, [0, 1], {}, ["csr", "csr"]))
        np.testing.assert_array_equal(decoded, dense)
        assert decoded.dtype == np.int8


def csr(segments: list[int], indices: list[int]) -> tuple:
    return ("csr", np.array(segments), np.array(indices))


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        (Sparsity((0, 1), (), (("dense", 2), csr([0, 1], [0]))), "do not divide 1 indices among 2"),
        (Sparsity((0, 1), (), (("dense", 2), csr([0, 1, 2], [0]))), "its segments do not divide"),
        (Sparsity((0, 1), (), (("dense", 2), csr([0, 2, 1], [0]))), "its segments do not divide"),
        (Sparsity((0, 1), (), (("dense", 2), csr([0, 1, 2], [0, 3]))), "an index lies outside of 0…2"),
        (Sparsity((0, 1), (), (("dense", 2), csr([0, 1, 2], [0, -1]))), "an index lies outside of 0…2"),
        (Sparsity((0, 1), (), (("dense", 3), csr([0, 1, 1, 2], [0, 1]))), "0 has 3 entries, expected 2"),
        (Sparsity((0, 1), (), (("dense", 2), csr([0, 1, 3], [0, 1, 2]))), "places 3 values, but 2"),
        (Sparsity((0, 0), (), (("dense", 2), csr([0, 1, 2], [0, 1]))), r"\[0, 0\] names other"),
        (Sparsity((0, 1), (), (("dense", 2),)), "it has 1 levels"),
        (Sparsity((0, 1, 2), (7,), (("dense", 2), ("dense", 3), ("dense", 1))), r"the block map \[7\]"),
        (Sparsity((0, 1, 2), (1,), (("dense", 2), ("dense", 1), ("dense", 2))), "a block does not divide"),
        (Sparsity((0, 1, 2), (1,), (("dense", 2), ("dense", 1), csr([0, 1, 2], [0, 0]))), "a block does not"),
    ],
)
def test_a_damaged_encoding_is_refused_with_the_reason(sparsity: Sparsity, message: str):
    tensor = Tensor("w", [2, 3], data=np.ones(2, np.float32), sparsity=sparsity)
    with pytest.raises(ModelError, match=f"The sparsity of constant 'w'.*{message}"):
        dense_values(tensor)


def test_a_huge_shape_is_refused_before_memory_is_taken():
    sparsity = Sparsity((0, 1), (), (csr([0, 1], [0]), csr([0, 1], [0])))
    tensor = Tensor("w", [2**20, 2**20], data=np.ones(1, np.float32), sparsity=sparsity)
    with pytest.raises(ModelError, match="has 1099511627776 elements"):
        dense_values(tensor)


def test_what_is_not_constant_is_refused():
    with pytest.raises(ModelError, match="'x' has no stored values; expected a constant"):
        dense_values(Tensor("x", [2]))
