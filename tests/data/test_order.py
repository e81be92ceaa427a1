"""The order of an epoch is a pure function of (seed, step)."""

import numpy as np
import pytest

from tqgd_jax.config import Augment, Config, Data
from tqgd_jax.data.batches import order


def epoch(seed: int, n: int, batch: int, e: int, tiles: int = 4) -> np.ndarray:
    steps = order.steps_per_epoch(n, batch)
    return np.concatenate(
        [order.indices(seed, n, batch, e * steps + k, tiles) for k in range(steps)]
    )


def test_an_epoch_shows_every_image_and_fills_up_from_its_start():
    rows = epoch(seed=3, n=10, batch=4, e=5)
    assert rows.shape == (12, 4)
    assert rows.dtype == np.int32
    first = rows[:, 0]
    assert sorted(first[:10]) == list(range(10))
    assert first[10:].tolist() == first[:2].tolist()


def test_a_batch_larger_than_the_set_repeats_it():
    first = epoch(seed=0, n=3, batch=8, e=0)[:, 0]
    assert first.tolist() == [*first[:3], *first[:3], *first[:2]]
    assert sorted(first[:3]) == [0, 1, 2]


def test_epochs_and_seeds_differ_and_steps_repeat():
    a = epoch(seed=1, n=50, batch=5, e=0)
    assert not np.array_equal(a, epoch(seed=1, n=50, batch=5, e=1))
    assert not np.array_equal(a, epoch(seed=2, n=50, batch=5, e=0))
    # from the middle, after other epochs have pushed this one out of the cache
    for e in range(3, 9):
        epoch(seed=1, n=50, batch=5, e=e)
    assert np.array_equal(a[35:40], order.indices(1, 50, 5, 7, 4))


def test_partners_depend_on_seed_and_epoch():
    a = epoch(seed=1, n=50, batch=5, e=0)[:, 1:]
    assert not np.array_equal(a, epoch(seed=2, n=50, batch=5, e=0)[:, 1:])
    assert not np.array_equal(a, epoch(seed=1, n=50, batch=5, e=1)[:, 1:])


def test_tiles_do_not_change_the_images():
    one = epoch(seed=1, n=9, batch=2, e=2, tiles=1)
    four = epoch(seed=1, n=9, batch=2, e=2, tiles=4)
    assert np.array_equal(one[:, 0], four[:, 0])


def test_partners_are_uniform():
    partners = np.concatenate(
        [epoch(seed=0, n=8, batch=8, e=e)[:, 1:] for e in range(200)]
    )
    counts = np.bincount(partners.reshape(-1), minlength=8)
    # 4800 draws of 8: 600 each, standard deviation sqrt(4800 * 7 / 64) = 23
    assert (np.abs(counts - 600) < 5 * 23).all()


def test_a_caller_cannot_spoil_the_cache():
    before = order.indices(4, 6, 2, 0, 4)
    order.indices(4, 6, 2, 0, 4)[:] = 99
    assert np.array_equal(before, order.indices(4, 6, 2, 0, 4))


def test_evaluation_shows_each_image_once():
    rows = order.eval_indices(5, 2)
    assert [r.tolist() for r in rows] == [[[0], [1]], [[2], [3]], [[4], [-1]]]
    assert order.eval_indices(0, 2) == []


def test_an_empty_split_cannot_train():
    with pytest.raises(ValueError, match="train split is empty"):
        order.indices(0, 0, 4, 0, 4)


def test_an_epoch_has_every_image_with_a_box_and_others_drawn_anew():
    boxes = [np.zeros((int(k % 5 == 0), 4)) for k in range(50)]  # ten with a box
    cfg = Config(
        seed=3,
        data=Data(batch_size=4, backgrounds=1.5),
        augment=Augment(mosaic=0.0),
    )
    assert order.epoch_size(cfg, boxes) == 25
    images = order.of_run(cfg, boxes)
    epochs = []
    for epoch in range(2):
        seen = np.concatenate([images(7 * epoch + k) for k in range(7)])[:25, 0]
        assert len(set(seen)) == 25
        assert {k for k in seen if k % 5 == 0} == set(range(0, 50, 5))
        epochs.append({k for k in seen if k % 5})
    assert epochs[0] != epochs[1]
    np.testing.assert_array_equal(images(9), order.of_run(cfg, boxes)(9))


@pytest.mark.parametrize(("backgrounds", "size"), [(0, 50), (1, 20), (4, 50), (9, 50)])
def test_an_epoch_is_no_longer_than_the_set(backgrounds, size):
    boxes = [np.zeros((int(k % 5 == 0), 4)) for k in range(50)]
    cfg = Config(data=Data(backgrounds=backgrounds))
    assert order.epoch_size(cfg, boxes) == size
    assert order.epoch_size(cfg, [np.zeros((0, 4))] * 7) == 7
