"""What became of every detection and box, by hand."""

from tests.evaluation.cohorts import image
from tqgd_jax.evaluation.evaluator import Evaluator

A, B, FAR = (0, 0, 10, 10), (20, 20, 24, 24), (50, 50, 60, 60)


def test_outcomes_say_what_became_of_each_detection_and_box():
    item = image("1", [A, B], [FAR, A, A, B], [0.9, 0.8, 0.7, 0.1])
    (got,) = Evaluator([item], ["a"], 0.5).outcomes()
    assert got.above.tolist() == [True, True, True, False]
    for part in (got.iou, got.centre):
        assert part.hit.tolist() == [False, True, False, True]
        assert part.box.tolist() == [-1, 0, -1, 1]
        assert part.detected.tolist() == [True, False]
        assert part.missed.tolist() == [False, True]
        assert not part.ignored.any()
    (blind,) = Evaluator([item], ["a"], None).outcomes()
    assert blind.above is None
    assert not blind.iou.detected.any()
    assert not blind.iou.missed.any()


def test_outcomes_of_the_second_image_count_from_its_own_first_box():
    items = [image("1", [A, B], [A], [0.9]), image("2", [B, A], [A], [0.9])]
    got = Evaluator(items, ["a"], 0.5).outcomes()
    assert [part.iou.box.tolist() for part in got] == [[0], [1]]
    assert [part.centre.detected.tolist() for part in got] == [
        [True, False],
        [False, True],
    ]
