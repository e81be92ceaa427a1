"""The picture: what is drawn where."""

import matplotlib.image
import numpy as np

from tqgd_jax.explain import grid


def change(picture, empty):
    """How many pixels differ, and by how much they are redder than they are bluer."""
    apart = picture[..., :3] - empty[..., :3]
    drawn_on = np.abs(apart).max(axis=-1) > 0.1
    return int(drawn_on.sum()), float((apart[..., 0] - apart[..., 2])[drawn_on].mean())


def cell(value=0.0, boxes=(), note=""):
    of = np.zeros((30, 40))
    of[10:20, 10:20] = value
    boxes = np.array(boxes, float).reshape(-1, 4)
    return grid.Cell(of, boxes, np.full(len(boxes), 0.5), note)


def drawn(path, row, *cells):
    grid.draw(path, [row], [str(k) for k in range(len(cells))], [cells], "a $ title")
    return matplotlib.image.imread(path)


def test_labels_are_blue_detections_red_and_a_map_is_over_the_slice(tmp_path):
    none = np.zeros((0, 4))
    box = (25.0, 5, 35, 15)
    row = grid.Row("a_$1", np.full((30, 40), 0.3), none)
    empty = drawn(tmp_path / "a.png", row, cell())
    labelled = row._replace(labels=np.array([box]))
    number, red = change(drawn(tmp_path / "b.png", labelled, cell()), empty)
    assert number > 300  # in both panels
    assert red < -0.2
    number, red = change(drawn(tmp_path / "c.png", row, cell(boxes=[box])), empty)
    assert number > 200
    assert red > 0.1
    hot = drawn(tmp_path / "d.png", row, cell(1.0))
    # a tenth of a panel of 3 inches: 100 of 1,200 px^2 in about 300 x 230 px
    assert 3000 < change(hot, empty)[0] < 9000


def test_rows_and_columns_make_a_larger_picture(tmp_path):
    row = grid.Row("a", np.zeros((30, 40, 3)), np.zeros((0, 4)))
    cells = [[cell(0.5, note="best candidate")] * 3] * 2
    grid.draw(tmp_path / "a.png", [row, row], ["x", "y", "z"], cells, "t")
    h, w = matplotlib.image.imread(tmp_path / "a.png").shape[:2]
    one = drawn(tmp_path / "b.png", row, cell())
    assert h > one.shape[0]
    assert w > one.shape[1]
