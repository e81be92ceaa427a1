"""Windows keep hearts and labels whole, and coordinates survive the way there and back."""

import numpy as np
import pytest

from tqgd_jax.ct import crop
from tqgd_jax.ct.crop import crops, from_crop, to_crop, widened
from tqgd_jax.overlap import beyond

NAN = [np.nan] * 4
SHAPE = (100, 200)  # height, width


def test_one_window_for_all_slices_is_the_hull_with_a_margin_in_mm():
    boxes = np.array([NAN, [50, 30, 90, 60], [40.5, 35, 80, 70.5], NAN])
    # 4 mm are 8 px across (0.5 mm) and 4 px down (1 mm); halves are rounded outwards
    windows = crops(boxes, SHAPE, (1.0, 0.5), per="volume", margin_mm=4)
    assert windows.tolist() == [[32, 26, 98, 75]] * 4


def test_a_slice_without_heart_takes_the_nearest_slices_window():
    boxes = np.array([NAN, [10, 10, 30, 30], NAN, NAN, NAN, [20, 20, 60, 50]])
    windows = crops(boxes, SHAPE, (1.0, 1.0), per="slice", margin_mm=0)
    near, far = [10, 10, 30, 30], [20, 20, 60, 50]
    assert windows.tolist() == [near, near, near, near, far, far]  # a tie goes down


def test_slices_below_and_above_the_heart_know_how_far_it_is():
    heart = [10, 10, 30, 30]
    boxes = np.array([NAN, NAN, heart, NAN, heart, NAN])  # one between is inside
    assert crop.beyond(boxes, 2.5).tolist() == [5, 2.5, 0, 0, 0, 2.5]
    assert crop.beyond(np.array([NAN, NAN]), 2.5).tolist() == [0, 0]


def test_the_margin_ends_at_the_image():
    boxes = np.array([[5, 2, 198, 97.5]], np.float32)
    assert crops(boxes, SHAPE, (1.0, 1.0), per="slice", margin_mm=10).tolist() == [
        [0, 0, 200, 100]
    ]


@pytest.mark.parametrize("per", ["volume", "slice"])
def test_no_heart_anywhere_is_the_whole_image(per):
    windows = crops(np.full((3, 4), np.nan), SHAPE, (1.0, 1.0), per=per, margin_mm=5)
    assert windows.tolist() == [[0, 0, 200, 100]] * 3


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 10, 30],  # no width
        [30, 10, 10, 30],  # swapped corners
        [-20, 10, 0, 30],  # left of the image
        [10, 100, 30, 120],  # below it
        [10, np.nan, 30, 40],
    ],
)
def test_a_box_that_is_no_box_is_refused_with_its_slice(box):
    boxes = np.array([NAN, box])
    with pytest.raises(ValueError, match="of slice 1 is empty or outside the 200x100"):
        crops(boxes, SHAPE, (1.0, 1.0), per="slice", margin_mm=0)


def follow(windows, boxes, pad, per="slice", chosen=None):
    """Windows that follow the labels of all slices, or of the chosen ones."""
    windows = np.array(windows)
    chosen = np.array(chosen or [True] * len(windows))
    grown = widened(windows, boxes, chosen, per=per, shape=SHAPE, pad=pad)
    return grown.tolist()


INSIDE, CUT = [30.0, 30, 40, 40], [55.5, 30, 61, 40]
OUTSIDE, NONE = [80.0, 95, 90, 100], np.zeros((0, 4))


def test_a_window_grows_around_a_box_it_would_cut():
    windows = np.array([[20, 20, 60, 60]] * 3)
    boxes = [np.array([INSIDE, CUT]), NONE, np.array([OUTSIDE])]
    grown = [[20, 20, 64, 60], [20, 20, 60, 60], [20, 20, 93, 100]]
    assert follow(windows, boxes, 3) == grown
    assert windows.tolist() == [[20, 20, 60, 60]] * 3  # the argument is left alone
    assert follow(windows, boxes, 3, "volume") == [[20, 20, 93, 100]] * 3


def test_only_chosen_windows_grow_and_only_their_labels_are_looked_at():
    windows, one = [[20, 20, 60, 60]] * 3, [20, 20, 60, 60]
    boxes = [np.array([CUT]), NONE, np.array([OUTSIDE])]
    chosen = [True, True, False]
    assert follow(windows, boxes, 3, chosen=chosen) == [[20, 20, 64, 60], one, one]
    # the hull of a scan whose slices are in two parts holds no box of the other part
    volume = follow(windows, boxes, 3, "volume", chosen)
    assert volume == [[20, 20, 64, 60], [20, 20, 64, 60], one]
    assert follow(windows, boxes, 3, "volume", [False] * 3) == windows


def test_which_boxes_a_window_cuts_and_which_lie_outside():
    touches = [60.0, 20, 70, 40]  # shares an edge with the window, and no area
    over_two = [10.0, 50, 30, 70]
    decimals = [19.96, 20, 30, 60.04]
    boxes = np.array([INSIDE, CUT, OUTSIDE, touches, over_two, decimals])
    cut, outside = beyond(boxes, (20, 20, 60, 60))
    assert cut.tolist() == [False, True, False, False, True, False]
    assert outside.tolist() == [False, False, True, True, False, False]


def test_a_box_that_touches_the_windows_edge_gets_its_room():
    boxes = [np.array([[20.0, 20, 60, 60]])]
    assert follow([[20, 20, 60, 60]], boxes, 0) == [[20, 20, 60, 60]]
    assert follow([[20, 20, 60, 60]], boxes, 2) == [[18, 18, 62, 62]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_is_the_same_to_a_ten_thousandth_of_a_pixel(dtype):
    rng = np.random.default_rng(0)
    for _ in range(200):
        x0, y0 = rng.integers(0, 400, 2)
        window = np.array(
            [x0, y0, x0 + rng.integers(1, 112), y0 + rng.integers(1, 112)]
        )
        boxes = rng.uniform(-20, 532, (7, 4)).astype(dtype)
        back = from_crop(to_crop(boxes, window), window)
        assert back.dtype == dtype
        np.testing.assert_allclose(back, boxes, rtol=0, atol=1e-4)


def test_a_box_means_the_same_pixels_in_the_slice_and_in_its_crop():
    image = np.arange(20 * 30).reshape(20, 30)
    window = np.array([4, 3, 25, 17])
    box = np.array([[6.0, 5, 9, 11]])
    x0, y0, x1, y1 = to_crop(box, window)[0].astype(int)
    cropped = image[window[1] : window[3], window[0] : window[2]]
    assert np.array_equal(cropped[y0:y1, x0:x1], image[5:11, 6:9])


def test_windows_of_random_hearts_and_labels_hold_both():
    rng = np.random.default_rng(1)
    for per in ("volume", "slice"):
        for _ in range(50):
            low = rng.uniform(0, 90, (6, 2))
            hearts = np.concatenate([low, low + rng.uniform(1, 10, (6, 2))], axis=1)
            low = rng.uniform(0, 90, (6, 3, 2))
            labels = list(
                np.concatenate([low, low + rng.uniform(1, 10, (6, 3, 2))], -1)
            )
            windows = crops(hearts, SHAPE, (0.7, 0.7), per=per, margin_mm=2)
            every = np.ones(6, bool)
            grown = widened(windows, labels, every, per=per, shape=SHAPE, pad=1)
            for window, heart, boxes in zip(grown, hearts, labels, strict=True):
                held = np.concatenate([heart[None], boxes])
                assert (held[:, :2] >= window[:2]).all()
                assert (held[:, 2:] <= window[2:]).all()
                assert (window >= 0).all()
                assert (window <= [200, 100, 200, 100]).all()
