import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.assign import OFFSETS, assign
from tqgd_jax.boxes import cxcywh_to_xyxy
from tqgd_jax.structures.batch import Targets

ANCHORS = jnp.array(
    [
        [[10, 13], [16, 30], [33, 23]],
        [[30, 61], [62, 45], [59, 119]],
        [[116, 90], [156, 198], [373, 326]],
    ],
    jnp.float32,
)
STRIDES = (8, 16, 32)

# Two images at 640 px; the same three boxes gave the numbers below in YOLOv5 v7.0.
CENTRES = [
    [(100.4, 203.1, 15, 14), (322, 322, 60, 50)],
    [(3, 637, 6, 6), (0, 0, 0, 0)],
]
TARGETS = Targets(
    boxes=cxcywh_to_xyxy(jnp.array(CENTRES, jnp.float32)),
    labels=jnp.zeros((2, 2), jnp.int32),
    valid=jnp.array([[True, True], [True, False]]),
)


def level(i, targets=TARGETS, size=640):
    grid = (size // STRIDES[i], size // STRIDES[i])
    return assign(targets, ANCHORS[i], STRIDES[i], grid, 4.0)


def matches(found, image, box):
    """{anchor: [(row, col, x, y, w, h), ...]} of one box, own cell first."""
    out = {}
    for k, a, b, n in np.argwhere(np.asarray(found.mask)):
        if (b, n) == (image, box):
            cell = int(found.row[k, b, n]), int(found.col[k, b, n])
            place = np.concatenate([found.xy[k, b, n], found.wh[b, n]])
            out.setdefault(int(a), []).append((*cell, *place.tolist()))
    return out


def one(*cxcywh, size=640, i=0):
    """Matches of a single box."""
    box = cxcywh_to_xyxy(jnp.array([[cxcywh]], jnp.float32))
    targets = Targets(box, jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool))
    return matches(level(i, targets, size), 0, 0)


def cells(found):
    return {a: {m[:2] for m in rows} for a, rows in found.items()}


def test_match_counts_per_level_are_those_of_yolov5():
    assert [int(level(i).mask.sum()) for i in range(3)] == [16, 9, 6]


def test_cells_and_targets_are_those_of_yolov5():
    found = matches(level(0), 0, 0)
    expected = [
        (25, 12, 0.55, 0.3875, 1.875, 1.75),
        (24, 12, 0.55, 1.3875, 1.875, 1.75),
        (25, 13, -0.45, 0.3875, 1.875, 1.75),
    ]
    assert sorted(found) == [0, 1, 2]
    for rows in found.values():
        np.testing.assert_allclose(rows, expected, atol=1e-4)

    found = cells(matches(level(0), 0, 1))
    assert found == {a: {(40, 40), (40, 39), (39, 40)} for a in (1, 2)}

    found = matches(level(0), 1, 0)  # in the corner: no neighbour to the left or below
    assert list(found) == [0]
    np.testing.assert_allclose(found[0], [(79, 0, 0.375, 0.625, 0.75, 0.75)], atol=1e-5)


@pytest.mark.parametrize(
    ("size", "anchors"),
    [
        ((39.75, 20), [0, 1, 2]),
        ((40, 20), [1, 2]),  # 40 / 10 = 4
        ((8.25, 30), [0, 1]),  # 33 / 8.25 = 4
        ((8.5, 30), [0, 1, 2]),
        ((10, 52), [1, 2]),  # 52 / 13 = 4
        ((2.5, 13), []),
    ],
)
def test_a_side_four_times_the_anchor_or_a_quarter_does_not_match(size, anchors):
    """The anchors are 10 x 13, 16 x 30 and 33 x 23 px."""
    assert sorted(one(100, 100, *size)) == anchors


def test_the_far_corner_has_only_neighbours_on_the_grid():
    """Centre at cell (1.25, 6.875) of 8 x 8: left and below are on the grid."""
    assert cells(one(10, 55, 12, 12, size=64))[0] == {(6, 1), (6, 0), (7, 1)}
    # Centre (7.25, 7.75): the next row would be 8, but 8 - 7.75 is not above 1.
    assert cells(one(58, 62, 4, 4, size=64))[0] == {(7, 7), (7, 6)}


def test_a_centre_in_the_middle_of_a_cell_has_no_neighbours():
    assert cells(one(100, 100, 12, 12))[0] == {(12, 12)}


def test_every_neighbour_keeps_the_centre_where_it_is():
    found = level(1)
    cell = jnp.stack([found.col, found.row], axis=-1).astype(jnp.float32)
    centre = (TARGETS.boxes[..., :2] + TARGETS.boxes[..., 2:]) / 2
    back = np.asarray((cell + found.xy) * STRIDES[1])
    picked = np.asarray(found.mask.any(axis=1))
    expected = np.broadcast_to(centre[None], back.shape)
    np.testing.assert_allclose(back[picked], expected[picked], atol=1e-3)
    assert len(OFFSETS) == len(back)


@pytest.mark.parametrize(
    "box",
    [(5, 5, 5, 5), (5, 5, 5, 9), (9, 9, 5, 5), (np.nan,) * 4],
    ids=["point", "line", "inside out", "nan"],
)
def test_boxes_without_an_area_never_match(box):
    boxes = jnp.array([[box]], jnp.float32)
    targets = Targets(boxes, jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool))
    assert not any(level(i, targets, 64).mask.any() for i in range(3))


def test_padding_rows_never_match_and_carry_no_nan():
    targets = TARGETS._replace(
        boxes=TARGETS.boxes.at[1, 1].set(jnp.nan),
        valid=TARGETS.valid.at[0, 0].set(False),
    )
    found = level(0, targets)
    assert not found.mask[:, :, 0, 0].any()
    assert not found.mask[:, :, 1, 1].any()
    assert int(found.mask.sum()) == 16 - 9
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
