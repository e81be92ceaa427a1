"""The competitors beside PyTorch: names, settings, and sizes of the same graphs."""

import numpy as np
import pytest

from bench import rivals


def test_a_family_is_its_networks():
    assert rivals.named(["zair", "zhao"]) == ["segnet", "unet", "vgg16_fcn", "zhao"]
    assert rivals.named([]) == list(rivals.PUBLISHED)
    with pytest.raises(SystemExit, match="no network 'yolo'"):
        rivals.named(["yolo"])


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_a_configuration_is_that_of_a_run_at_another_size(name):
    cfg = rivals.config(name, 64, 2, width=0.25)
    assert cfg.baseline.family in ("zhao", "foellmer", "zair")
    assert (cfg.data.image_size, cfg.data.batch_size) == (64, 2)
    assert cfg.baseline.width == 0.25


def test_a_batch_has_lesions_in_its_boxes_alone():
    images, (boxes, labels, valid), lesion = rivals.batch_of(64, 2, 3)
    assert images.shape == (2, 64, 64, 3)
    assert images.max() <= 1
    assert valid.all()
    for row, kinds, image in zip(boxes.astype(int), labels, lesion, strict=True):
        x0, y0, x1, y1 = row[-1]  # the last one drawn lies on top
        assert (image[y0:y1, x0:x1] == 1 + kinds[-1]).all()
        for x0, y0, x1, y1 in row:
            image[y0:y1, x0:x1] = 0
    assert not np.any(lesion)


@pytest.mark.parametrize(
    ("name", "count"),  # next-spec.md 1.2 to 1.4
    [
        ("zhao", 41_936_350),
        ("foellmer", 1_931_698),
        ("foellmer_both", 3_109_130 + 2),  # the two weights of the losses
        ("segnet", 29_444_162),
        ("unet", 31_042_369),
        ("vgg16_fcn", 14_715_971),
        ("vgg16_fcn_bn", 14_724_419),
    ],
)
def test_graphs_in_pytorch_have_the_published_size(name, count):
    torch = pytest.importorskip("torch")
    from bench.torch.baselines import build

    cfg = rivals.config(name, 64, 1)
    with torch.device("meta"):
        net = build(cfg, len(cfg.data.classes))
    assert sum(p.numel() for p in net.parameters()) == count
