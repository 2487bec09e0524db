"""Descriptions of ops that move data, and of recurrent ops."""

from __future__ import annotations

from support.one_op_models import Case, Fixed, Flags, Operand, State, Value, Weights


def _resize(kind: str, table: str, note: str = "", **options: bool) -> Case:
    return Case(kind, [Value((1, 4, 4, 3)), Fixed([7, 9])], [(1, 7, 9, 3)], table, options, note)


def _recurrent_weights(units: int, depth: int, count: int) -> list[Operand]:
    return [Weights((units, depth), -0.5, 0.5) for _ in range(count)]


def _lstm(kind: str, table: str) -> Case:
    shape = (2, 4) if kind == "LSTM" else (3, 2, 4)
    operands: list[Operand] = [Value(shape)]
    operands += _recurrent_weights(5, 4, 4) + _recurrent_weights(5, 5, 4)
    operands += [None, None, None] + [Weights((5,)) for _ in range(4)] + [None, None]
    operands += [State((2, 5)), State((2, 5)), None, None, None, None]
    options = {"fusedActivationFunction": 4} | ({} if kind == "LSTM" else {"timeMajor": True})
    return Case(kind, operands, [(*shape[:-1], 5)], table, options)


def _bidirectional_lstm() -> Case:
    one: list[Operand] = _recurrent_weights(5, 4, 4) + _recurrent_weights(5, 5, 4)
    one += [None, None, None] + [Weights((5,)) for _ in range(4)] + [None, None]
    operands: list[Operand] = [Value((3, 2, 4)), *one, *one]
    operands += [State((2, 5)) for _ in range(4)] + [None] * 9
    return Case(
        "BIDIRECTIONAL_SEQUENCE_LSTM", operands, [(3, 2, 5), (3, 2, 5)], "BidirectionalSequenceLSTMOptions",
        {"fusedActivationFunction": 4, "timeMajor": True},
    )  # fmt: skip


def recurrent_cases() -> list[Case]:
    cell: list[Operand] = [Weights((5, 4), -0.5, 0.5), Weights((5, 5), -0.5, 0.5), Weights((5,))]
    tanh = {"fusedActivationFunction": 4}
    return [
        Case("RNN", [Value((2, 4)), *cell, State((2, 5))], [(2, 5)], "RNNOptions", tanh),
        Case(
            "UNIDIRECTIONAL_SEQUENCE_RNN", [Value((3, 2, 4)), *cell, State((2, 5))], [(3, 2, 5)],
            "SequenceRNNOptions", {"timeMajor": True, **tanh},
        ),
        Case(
            "SVDF",
            [Value((2, 4)), Weights((6, 4)), Weights((6, 3)), Weights((6,)), State((2, 18))],
            [(2, 6)], "SVDFOptions", {"rank": 1},
        ),
        _lstm("LSTM", "LSTMOptions"),
        _lstm("UNIDIRECTIONAL_SEQUENCE_LSTM", "UnidirectionalSequenceLSTMOptions"),
        _bidirectional_lstm(),
    ]  # fmt: skip


def movement_cases() -> list[Case]:
    x = Value((2, 3, 4, 5), -1.0, 2.0)
    image = Value((1, 4, 4, 8), -1.0, 2.0)
    bilinear, nearest = "ResizeBilinearOptions", "ResizeNearestNeighborOptions"
    return [
        Case("RESHAPE", [x, Fixed([6, 20])], [(6, 20)], "ReshapeOptions", {"newShape": [6, 20]}),
        Case("SQUEEZE", [Value((2, 1, 3))], [(2, 3)], "SqueezeOptions", {"squeezeDims": [1]}),
        Case("EXPAND_DIMS", [Value((2, 3)), Fixed(1)], [(2, 1, 3)], "ExpandDimsOptions"),
        Case("TRANSPOSE", [x, Fixed([0, 2, 3, 1])], [(2, 4, 5, 3)], "TransposeOptions"),
        Case("SLICE", [x, Fixed([0, 1, 0, 2]), Fixed([2, 2, 4, 3])], [(2, 2, 4, 3)], "SliceOptions"),
        Case(
            "STRIDED_SLICE", [x, Fixed([0, 0, 0, 0]), Fixed([2, 3, 4, 5]), Fixed([1, 2, 1, 2])],
            [(2, 2, 4, 3)],
            "StridedSliceOptions",
        ),
        Case("SPLIT", [Fixed(3), Value((2, 3, 4, 6))], [(2, 3, 4, 2)] * 3, "SplitOptions", {"numSplits": 3}),
        Case(
            "SPLIT_V", [x, Fixed([2, 3]), Fixed(3)], [(2, 3, 4, 2), (2, 3, 4, 3)], "SplitVOptions",
            {"numSplits": 2},
        ),
        Case("UNPACK", [Value((2, 3))], [(3,), (3,)], "UnpackOptions", {"num": 2, "axis": 0}),
        Case(
            "PACK", [Value((2, 3)), Value((2, 3), -0.5, 2.0)], [(2, 2, 3)], "PackOptions",
            {"valuesCount": 2, "axis": 0},
        ),
        Case(
            "CONCATENATION", [Value((2, 3)), Value((2, 3), -0.5, 2.0), Weights((2, 2), -3.0, 3.0)], [(2, 8)],
            "ConcatenationOptions", {"axis": 1},
        ),
        Case("GATHER", [x, Fixed([2, 0])], [(2, 2, 4, 5)], "GatherOptions", {"axis": 1}),
        Case("GATHER", [Weights((5, 8)), Fixed([2, 0])], [(2, 8)], "GatherOptions", {"axis": 0}, "table"),
        Case("MATRIX_DIAG", [Value((2, 3), -1.0, 2.0)], [(2, 3, 3)], "MatrixDiagOptions"),
        Case(
            "MATRIX_SET_DIAG", [Value((2, 3, 3)), Value((2, 3), -0.5, 2.0)], [(2, 3, 3)],
            "MatrixSetDiagOptions",
        ),
        Case("GATHER_ND", [x, Fixed([[1, 0], [0, 2]])], [(2, 4, 5)], "GatherNdOptions"),
        Case("PAD", [image, Fixed([[0, 0], [1, 1], [1, 1], [0, 0]])], [(1, 6, 6, 8)], "PadOptions"),
        Case(
            "PADV2", [image, Fixed([[0, 0], [1, 1], [1, 1], [0, 0]]), Weights((), -3.0, -3.0)],
            [(1, 6, 6, 8)],
            "PadV2Options",
        ),
        Case(
            "MIRROR_PAD", [image, Fixed([[0, 0], [1, 1], [1, 1], [0, 0]])], [(1, 6, 6, 8)],
            "MirrorPadOptions", {"mode": 0},
        ),
        Case("TILE", [Value((2, 3)), Fixed([2, 1])], [(4, 3)], "TileOptions"),
        Case("BROADCAST_TO", [Value((1, 3)), Fixed([4, 3])], [(4, 3)], "BroadcastToOptions"),
        Case("SPACE_TO_DEPTH", [image], [(1, 2, 2, 32)], "SpaceToDepthOptions", {"blockSize": 2}),
        Case("DEPTH_TO_SPACE", [image], [(1, 8, 8, 2)], "DepthToSpaceOptions", {"blockSize": 2}),
        Case(
            "SPACE_TO_BATCH_ND", [image, Fixed([2, 2]), Fixed([[0, 0], [2, 0]])], [(4, 2, 3, 8)],
            "SpaceToBatchNDOptions",
        ),
        Case(
            "BATCH_TO_SPACE_ND", [Value((4, 2, 3, 8)), Fixed([2, 2]), Fixed([[0, 0], [1, 0]])],
            [(1, 4, 5, 8)],
            "BatchToSpaceNDOptions",
        ),
        Case("REVERSE_V2", [Value((2, 3, 4)), Fixed([1])], [(2, 3, 4)], "ReverseV2Options"),
        Case("SELECT", [Flags((2, 3)), Value((2, 3)), Value((2, 3), -0.5, 2.0)], [(2, 3)], "SelectOptions"),
        Case(
            "SELECT_V2", [Flags((2, 1)), Value((2, 3)), Value((1, 3), -0.5, 2.0)], [(2, 3)],
            "SelectV2Options",
        ),
        Case(
            "DYNAMIC_UPDATE_SLICE", [Value((4, 6)), Value((2, 3), -0.5, 2.0), Fixed([1, 2])], [(4, 6)],
            "DynamicUpdateSliceOptions",
        ),
        Case("FILL", [Fixed([3, 4]), Value((), 0.5, 0.5)], [(3, 4)], "FillOptions"),
        Case("DILATE", [Value((3, 4)), Fixed([2, 2]), Weights((), -3.0, -3.0)], [(5, 7)]),
        Case(
            "SPARSE_TO_DENSE", [Fixed([[1], [3]]), Fixed([5]), Value((2,)), Weights((), -3.0, -3.0)], [(5,)],
            "SparseToDenseOptions",
        ),
        Case(
            "REVERSE_SEQUENCE", [Value((2, 5)), Fixed([3, 4])], [(2, 5)], "ReverseSequenceOptions",
            {"seqDim": 1, "batchDim": 0},
        ),
        Case(
            "ONE_HOT", [Fixed([1, 0]), Fixed(3), Weights((), 2.0, 2.0), Weights((), -1.0, -1.0)], [(2, 3)],
            "OneHotOptions", {"axis": -1},
        ),
        _resize("RESIZE_BILINEAR", bilinear),
        _resize("RESIZE_BILINEAR", bilinear, "half-pixel", halfPixelCenters=True),
        _resize("RESIZE_BILINEAR", bilinear, "corners", alignCorners=True),
        _resize("RESIZE_NEAREST_NEIGHBOR", nearest),
        _resize("RESIZE_NEAREST_NEIGHBOR", nearest, "half-pixel", halfPixelCenters=True),
    ]  # fmt: skip
