"""The picture: what is drawn where."""

import matplotlib.image
import numpy as np
from matplotlib.colors import to_rgb

from tqgd_jax.explain import grid


def near(picture, colour):
    """Pixels of a picture that have a colour, within a little."""
    apart = np.abs(picture[..., :3] - np.array(to_rgb(colour))).max(axis=-1)
    return int((apart < 0.05).sum())


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
    legend = near(empty, grid.LABEL), near(empty, grid.DETECTION)
    labelled = row._replace(labels=np.array([box]))
    blue = drawn(tmp_path / "b.png", labelled, cell())
    assert near(blue, grid.LABEL) > 2 * legend[0]
    assert near(blue, grid.DETECTION) == legend[1]
    red = drawn(tmp_path / "c.png", row, cell(boxes=[box]))
    assert near(red, grid.DETECTION) > 2 * legend[1]
    assert near(red, grid.LABEL) == legend[0]
    hot = drawn(tmp_path / "d.png", row, cell(1.0))
    # a tenth of a panel of 3 inches: 100 of 1,200 px^2 in about 300 x 230 px
    changed = (np.abs(hot - empty).max(axis=-1) > 0.1).sum()
    assert 3000 < changed < 9000


def test_rows_and_columns_make_a_larger_picture(tmp_path):
    row = grid.Row("a", np.zeros((30, 40, 3)), np.zeros((0, 4)))
    cells = [[cell(0.5, note="raw best candidate")] * 3] * 2
    grid.draw(tmp_path / "a.png", [row, row], ["x", "y", "z"], cells, "t")
    h, w = matplotlib.image.imread(tmp_path / "a.png").shape[:2]
    one = drawn(tmp_path / "b.png", row, cell())
    assert h > one.shape[0]
    assert w > one.shape[1]
