from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.metrics.test_classes import samples, value
from tightfit.errors import DataError
from tightfit.evaluation.labels.label_kinds import Probe
from tightfit.evaluation.metrics.boxes import Boxes, Truth, corners_of, suppressed
from tightfit.evaluation.metrics.detection import average_precision, matched
from tightfit.evaluation.metrics.sequences import edit_distance
from tightfit.evaluation.task_choice import choose_tasks


def test_regressions_follow_their_formulas():
    given = samples([np.array([1.0, 10]), np.array([3.0, 30])], [[1.5, 10], [2.5, 40]])
    assert value("mae", given) == pytest.approx((0.25 + 5.25) / 2)
    assert value("rmse", given) == pytest.approx(math.sqrt((0.25 + 0 + 0.25 + 100) / 4))
    assert value("r2", given) == pytest.approx(((1 - 0.5 / 2) + (1 - 100 / 200)) / 2)


def test_whole_numbers_of_one_unit_are_values():
    given = samples([3, 7], [[3.5], [6.0]])
    assert choose_tasks("auto", given, {"": np.array([3, 7])}).tasks[0].name == "mae"
    assert value("rmse", given) == pytest.approx(math.sqrt((0.25 + 1) / 2))


def test_perplexity_is_the_exponential_of_the_mean_surprise():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    given = samples([np.array([0, -1])], [logits + 3])
    assert value("perplexity", given) == pytest.approx(2.0, rel=1e-6)


def test_an_output_that_gives_back_its_input_is_compared_with_it():
    x = np.arange(8, dtype=np.float32).reshape(1, 4, 2) / 8
    probes = [Probe(x[0], {"y": x + np.float32(0.1)}, {}, {"x": x})]
    tasks = choose_tasks("auto", probes, {})
    assert tasks.reading.heads[0].kind == "input"
    assert value("mae", probes) == pytest.approx(0.1, abs=1e-6)
    unlabelled = [Probe(None, {"y": x + np.float32(0.1)}, {}, {"x": x})]
    assert value("psnr(truth=input)", unlabelled) == pytest.approx(20, abs=1e-4)


def test_images_are_alike_up_to_one():
    image = np.random.default_rng(0).random((16, 16, 3))
    assert value("ssim", samples([image], [image])) == pytest.approx(1, abs=1e-6)
    with pytest.raises(DataError, match="SSIM takes images of at least 11"):
        value("ssim", samples([np.zeros((4, 4, 3))], [np.zeros((4, 4, 3))]))


POINTS = np.array([[0.0, 0, 1], [10, 0, 1], [0, 10, 1], [50, 50, 0]])


def test_points_count_within_a_share_of_the_visible_box():
    found = np.array([[0.5, 0], [10, 2], [0, 10], [0, 0]])
    given = samples([POINTS], [found])
    assert value("pck", given) == pytest.approx(2 / 3)
    assert value("pck(threshold=0.2)", given) == 1
    assert value("nme", given) == pytest.approx((0.05 + 0.2 + 0) / 3)
    assert value("nme(norm=5)", given) == pytest.approx((0.1 + 0.4 + 0) / 3)


def test_oks_follows_its_formula():
    found = np.array([[0.5, 0], [10, 2], [0, 10], [0, 0]])
    each = np.exp(-np.array([0.25, 4, 0]) / (2 * 100 * 0.1**2))
    assert value("oks", samples([POINTS], [found])) == pytest.approx(each.mean())


def test_transcripts_are_read_by_greedy_ctc():
    frames = np.eye(4)[[0, 0, 3, 0, 1, 2, 2, 3]]  # a a _ a b ␣ ␣ _
    given = samples(["aab a"], [frames])
    assert value("cer(alphabet=ab )", given) == pytest.approx(
        1 / 5
    )  # "aab" + a space that has no second word
    assert value("wer(alphabet=ab )", given) == pytest.approx(1 / 2)
    assert value("cer", samples([np.array([0, 0, 1, -1])], [np.eye(4)[[0, 3, 0, 1]]])) == 0
    with pytest.raises(DataError, match="no alphabet"):
        value("cer", given)


def test_edits_are_counted_with_the_fewest_steps():
    assert edit_distance([], [1, 2]) == edit_distance([1, 2], []) == 2
    assert edit_distance("intention", "execution") == 5


def test_a_span_is_the_best_pair_of_places():
    start, end = np.float32([[0, 5, 0, 0]]), np.float32([[0, 0, 0, 4]])
    probes = [Probe(np.array([1, 2]), {"start": start, "end": end})]
    assert [t.name for t in choose_tasks("auto", probes, {}).tasks] == ["span_f1", "em"]
    assert value("span_f1", probes) == pytest.approx(2 * 2 / (3 + 2))
    assert value("em", probes) == 0


def test_the_nearest_other_sample_has_the_label():
    vectors = [[1, 0], [0.9, 0.1], [0, 1], [0.2, 1]]
    assert value("retrieval", samples([0, 0, 1, 1], vectors)) == 1
    assert value("retrieval", samples([0, 1, 0, 1], vectors)) == 0


def boxes(rows, scores, classes):
    return Boxes(np.array(rows, float).reshape(-1, 4), np.array(scores, float), np.array(classes))


def truth(rows, classes, crowd=None):
    marks = np.zeros(len(classes), bool) if crowd is None else np.array(crowd)
    return Truth(np.array(rows, float).reshape(-1, 4), np.array(classes), marks)


def test_average_precision_is_the_area_under_precision_by_recall():
    wanted = truth([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 0])
    found = boxes([[0, 0, 10, 10], [50, 50, 60, 60], [20, 0, 30, 10]], [0.9, 0.8, 0.7], [0, 0, 0])
    record = matched(found, wanted, np.array([0.5]))
    # precision 1 up to recall 0.5 (levels 0 to 0.50), then 2/3
    assert average_precision([record]) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert average_precision([record, record], np.array([2.0, 0])) == average_precision([record])


def test_a_label_is_hit_once_and_crowds_do_not_count():
    wanted = truth([[0, 0, 10, 10], [50, 50, 90, 90]], [0, 0], [False, True])
    found = boxes([[0, 0, 10, 10], [0, 0, 10, 9], [55, 55, 60, 60]], [0.9, 0.8, 0.7], [0, 0, 0])
    record = matched(found, wanted, np.array([0.5]))
    assert record.hit.tolist() == [[True, False, False]]
    assert record.void.tolist() == [[False, False, True]]


def test_boxes_come_in_four_formats():
    corners = [[1.0, 2, 5, 8]]
    for form, row in (
        ("xyxy", [1, 2, 5, 8]),
        ("yxyx", [2, 1, 8, 5]),
        ("xywh", [1, 2, 4, 6]),
        ("cxcywh", [3, 5, 4, 6]),
    ):
        assert corners_of(np.array([row]), form).tolist() == corners
    with pytest.raises(DataError, match="Unknown format of boxes 'xywz'"):
        corners_of(np.zeros((1, 4)), "xywz")


def test_a_lesser_box_that_overlaps_goes_unless_it_is_of_another_class():
    rows = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [30, 30, 40, 40]], float)
    scores = np.array([[0.9, 0.0], [0.8, 0.7], [0.2, 0.0]])
    kept = suppressed(rows, scores, 0.6, 0.1)
    assert kept.scores.tolist() == [0.9, 0.7, 0.2]
    assert kept.classes.tolist() == [0, 1, 0]


IMAGE = {"image": np.zeros((1, 64, 64, 3), np.float32)}
LABELS = {"boxes": np.array([[8.0, 16, 24, 48]]), "classes": np.array([1])}


def logit(p):
    return np.log(p / (1 - p))


def raw_head(grid=4, size=64.0, newer=False):
    """A YOLO head that finds one box: centre (16, 32), 16 × 32, of class 1, by the second anchor."""
    head = np.full((grid, grid, 2, 7), -9.0)
    x, y = 16 / size * grid, 32 / size * grid
    column, row = min(int(x), grid - 1), min(int(y), grid - 1)
    inside = np.clip([x - column, y - row], 1e-6, 1 - 1e-6)
    head[row, column, 1, :2] = logit((inside + 0.5) / 2) if newer else logit(inside)
    head[row, column, 1, 2:4] = logit(0.5) if newer else 0.0
    head[row, column, 1, 4:] = [9, -9, 9]
    return head.reshape(1, grid, grid, -1).astype(np.float32)


ROW = np.array([16.0, 32, 16, 32])
NONE6, NONE7 = [[0] * 6], [[0] * 7]
PAIR = {"b": np.array([[[8.0, 16, 24, 48], [0, 0, 1, 1]]]), "s": np.array([[[0.1, 0.9], [0, 0]]])}
FOUND = {
    "b": np.array([[[0.25, 0.125, 0.75, 0.375]]]), "c": np.array([[1.0]]), "s": np.array([[0.7]]),
    "n": np.array([1.0]),
}  # fmt: skip
DECODED = {
    "boxes": (PAIR, "map50"),
    "detected": (FOUND, "map50(format=yxyx)"),
    "yolov8": ({"y": np.array([[*ROW, 0.1, 0.9], *NONE6 * 9]).T[None]}, "map50(decoder=yolov8)"),
    "yolov8 in fractions": (
        {"y": np.array([[*ROW / 64, 0.1, 0.9], *NONE6 * 9]).T[None]}, "map50(decoder=yolov8)"),
    "yolov5": ({"y": np.array([[*ROW, 0.9, 0.1, 0.9], *NONE7 * 9])[None]}, "map50(decoder=yolov5)"),
    "yolov3": ({"y": raw_head()}, "map50(decoder=yolov3,anchors=10:10:16:32)"),
    "yolov5-raw": ({"y": raw_head(newer=True)}, "map50(decoder=yolov5-raw,anchors=10:10:16:32)"),
}  # fmt: skip


@pytest.mark.parametrize("layout", DECODED)
def test_a_decoder_finds_the_box_of_its_layout(layout):
    outputs, metric = DECODED[layout]
    probes = [Probe(None, {n: np.asarray(a, np.float32) for n, a in outputs.items()}, LABELS, IMAGE)]
    assert value(metric, probes) == pytest.approx(1)
    other = {**LABELS, "classes": np.array([5])}
    assert value(metric, [probes[0]._replace(labels=other)]) == 0


def test_ssd_decodes_around_its_anchors(tmp_path):
    anchors = np.array([[0.5, 0.25, 0.25, 0.25], [0.1, 0.1, 0.1, 0.1]])
    np.save(tmp_path / "a.npy", anchors)
    encodings = np.array([[[0, 0, 5 * np.log(2), 0], [0, 0, 0, 0]]])
    scores = np.array([[[0.0, 0.1, 0.9], [0.9, 0, 0]]])
    outputs = {"e": encodings.astype(np.float32), "s": scores.astype(np.float32)}
    probes = [Probe(None, outputs, LABELS, IMAGE)]
    assert value(f"map50(decoder=ssd,anchors={tmp_path / 'a.npy'})", probes) == pytest.approx(1)


def test_labelled_boxes_may_be_rows_of_class_and_box_and_fractions():
    outputs = {n: np.asarray(a, np.float32) for n, a in DECODED["boxes"][0].items()}
    rows = np.array([[1, 0.25, 0.5, 0.25, 0.5], [-1, 0, 0, 0, 0]])
    probes = [Probe(rows, outputs, {}, IMAGE)]
    assert choose_tasks("auto", probes, {}).reading.heads[0].kind == "boxes"
    assert value("map50(labels=cxcywh)", probes) == pytest.approx(1)


def test_outputs_that_are_no_boxes_name_the_decoders():
    probes = [Probe(None, {"y": np.zeros((1, 6, 20), np.float32)}, LABELS, IMAGE)]
    with pytest.raises(DataError, match=r"No output of y is a list of boxes.*decoder=boxes\|yolov8"):
        choose_tasks("auto", probes, {})


def answers(label, output, **more):
    return [Probe(label, {"y": np.float32([output])}, **more)]


def test_a_word_of_the_user_decides_what_labels_mean():
    """0 and 1 of one unit are a class by themselves, numbers with mse or mae."""
    given, scalars = answers(1, [0.5]), {"": np.array([0, 1])}
    assert choose_tasks("auto", given, scalars).reading.heads[0].kind == "class"
    assert choose_tasks("mae", given, scalars).reading.heads[0].kind == "values"
    tasks = choose_tasks("auto", given, scalars, {"": "values"})
    assert (tasks.reading.heads[0].kind, tasks.tasks[0].name) == ("values", "mae")


def test_ranks_are_one_more_than_the_units():
    given = answers(2, [0.9, 0.8, 0.1])
    with pytest.raises(DataError, match="train with --loss ordinal"):
        choose_tasks("auto", given, {"": np.array([0, 1, 2, 3])})
    (task,) = choose_tasks("auto", given, {"": np.array([0, 1, 2, 3])}, {"": "rank"}).tasks
    answer = task.answer(given[0].outputs, given[0].outputs, 2)
    assert answer.label.tolist() == [1, 1, 0]
    assert task.metric.score(answer) == 1.0
    with pytest.raises(DataError, match="not 0 to 3"):
        choose_tasks("auto", given, {"": np.array([0, 4])}, {"": "rank"})


def test_an_output_without_labels_may_be_compared_with_the_input():
    given = answers(None, [1.0, 2.0], inputs={"x": np.float32([[1.0, 2.5]])})
    (task,) = choose_tasks("auto", given, {}, {"": "input"}).tasks
    answer = task.answer(given[0].outputs, given[0].outputs, None, None, given[0].inputs)
    assert task.metric.score(answer) == pytest.approx(0.25)
    longer = answers(None, [1.0, 2.0], inputs={"x": np.zeros((1, 3), np.float32)})
    with pytest.raises(DataError, match="has 2 numbers and the input 3"):
        choose_tasks("auto", longer, {}, {"": "input"})


def test_weights_of_samples_are_no_labels():
    tasks = choose_tasks("auto", answers(1, [0.2, 0.8], labels={"sample_weight": np.array(2.0)}), {})
    assert not tasks.reading.notes
    assert [head.key for head in tasks.reading.heads] == [""]
