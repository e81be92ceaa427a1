"""Fit of anchors to boxes."""

import numpy as np
import pytest
from scipy.cluster import vq

from tqgd_jax import anchors
from tqgd_jax.config import Model


def sizes(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("box", "fits"),
    [
        ((10, 13), True),
        ((39, 13), True),  # 3.9 times as wide
        ((40, 13), False),  # 4 times: the threshold itself does not match
        ((2.6, 13), True),  # 1 / 3.85
        ((2.5, 13), False),
        ((10, 60), False),
    ],
)
def test_best_possible_recall_of_one_box(box: tuple[float, float], fits: bool):
    recall = anchors.best_possible_recall(sizes(box), sizes((10, 13)))
    assert recall == float(fits)


def test_best_possible_recall_counts_boxes_that_any_anchor_fits():
    wh = sizes((10, 10), (100, 100), (1000, 1000), (12, 9))
    assert anchors.best_possible_recall(wh, sizes((10, 10), (110, 90))) == 0.75
    assert anchors.best_possible_recall(sizes((10, 10), (30, 30)), sizes((10, 10))) == 1
    assert anchors.best_possible_recall(wh[:2], wh[:1], threshold=20.0) == 1


def test_no_boxes_miss_nothing():
    assert (
        anchors.best_possible_recall(np.zeros((0, 2), np.float32), sizes((1, 1))) == 1
    )


def test_kmeans_finds_clusters_sorted_by_area():
    rng = np.random.default_rng(0)
    true = np.array([[8, 10], [30, 22], [60, 90]], np.float32)
    wh = np.repeat(true, 40, axis=0) * rng.uniform(0.95, 1.05, (120, 2)).astype("f4")
    found = anchors.kmeans_anchors(rng.permutation(wh), 3, seed=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, true, rtol=0.05)


def test_kmeans_is_as_good_as_scipy():
    rng = np.random.default_rng(1)
    wh = np.exp(rng.normal(3, 0.6, (300, 2)))
    spread = wh.std(axis=0)
    theirs, _ = vq.kmeans(wh / spread, 9, iter=30, seed=0)

    def fitness(found: np.ndarray) -> float:
        ratio = wh[:, None] / found[None]
        return float(np.minimum(ratio, 1 / ratio).min(axis=2).max(axis=1).mean())

    ours = anchors.kmeans_anchors(wh.astype(np.float32), 9, seed=0)
    assert fitness(ours) > fitness(theirs * spread)  # theirs has not been refined


def test_kmeans_repeats_with_its_seed_and_ignores_specks():
    wh = np.random.default_rng(2).uniform(5, 60, (80, 2)).astype(np.float32)
    specks = np.concatenate([wh, sizes((1, 50), (50, 1.9))])
    a = anchors.kmeans_anchors(wh, 6, seed=3)
    assert np.array_equal(a, anchors.kmeans_anchors(specks, 6, seed=3))
    assert not np.array_equal(a, anchors.kmeans_anchors(wh, 6, seed=4))


def test_too_few_boxes_for_kmeans():
    with pytest.raises(ValueError, match="needs 3 boxes of different size"):
        anchors.kmeans_anchors(sizes((4, 4), (4, 4), (5, 5)), 3, seed=0)


def lesions(small: int, n: int = 50) -> np.ndarray:
    """Boxes near (10, 13), and `small` of 2.2 px, which is 4.5 times too narrow."""
    side = np.linspace(8, 20, n, dtype=np.float32)
    wh = np.stack([side, side[::-1]], 1)
    wh[:small] = 2.2 + np.linspace(0, 0.1, small, dtype=np.float32)[:, None]
    return wh


@pytest.mark.parametrize(
    ("small", "heads", "origin", "lost"),
    [
        (1, (3, 4, 5), "coco", 1),  # best possible recall .98 is enough
        (2, (3, 4, 5), "kmeans", 0),  # .96 is not
        (0, (2, 3), "kmeans", 0),  # COCO has no anchors of P2
        (0, (4, 5), "coco", 0),  # (30, 61) reaches from 7.5 x 15.3 only
    ],
)
def test_auto_is_coco_while_98_percent_of_the_boxes_match(small, heads, origin, lost):
    wh = lesions(small)
    if heads == (4, 5):
        wh = wh * 3
    chosen = anchors.choose(Model(heads=heads), wh, seed=0)
    assert (chosen.origin, chosen.lost) == (origin, lost)
    assert chosen.boxes.shape == (len(heads), 3, 2)
    if origin == "coco":
        assert chosen.boxes.tolist() == [
            list(map(list, anchors.COCO[n])) for n in heads
        ]
    else:
        assert (np.diff(chosen.boxes.reshape(-1, 2).prod(1)) >= 0).all()


def test_auto_keeps_coco_where_kmeans_finds_no_more():
    wh = np.concatenate([lesions(0, 90), np.ones((10, 2), np.float32)])  # specks
    chosen = anchors.choose(Model(), wh, seed=0)
    assert (chosen.origin, chosen.lost) == ("coco", 10)


def test_auto_without_boxes_to_cluster():
    few = sizes((2.2, 2.2), (2.3, 2.2))
    chosen = anchors.choose(Model(), few, seed=0)
    assert (chosen.origin, chosen.lost) == ("coco", 2)
    none = anchors.choose(Model(), np.zeros((0, 2), np.float32), seed=0)
    assert (none.origin, none.lost) == ("coco", 0)
    with pytest.raises(ValueError, match="needs 6 boxes of different size"):
        anchors.choose(Model(heads=(2, 3)), few, seed=0)


def test_boxes_that_no_anchor_matches_are_counted_at_the_threshold_of_the_loss():
    given = Model(heads=(3,), anchors="10,10 20,20 30,30")
    wh = sizes((3, 3), (2.5, 10), (119, 100), (120, 100))  # 3.3, 4, 3.97 and 4 times
    assert anchors.choose(given, wh, seed=0).lost == 2
    assert anchors.choose(given, wh, seed=0, threshold=3.0).lost == 4
