"""SegNet-VGG16, U-Net and VGG16-FCN8s (specification J.3)."""

import torch
from torch import nn
from torch.nn import functional as F

from bench.torch.baselines.blocks import (
    chain,
    lesion_loss,
    padded,
    run,
    scaled,
    standardised,
)

VGG = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
MIRROR = ((512,) * 3, (512, 512, 256), (256, 256, 128), (128, 64), (64,))


class Segmentation(nn.Module):
    """Logits of a lesion and their loss."""

    def loss(self, raw, batch):
        """Terms of the loss of a batch."""
        return lesion_loss(raw, batch["lesion"] > 0)

    def probability(self, raw):
        """Of lesion, of each pixel."""
        raw = raw.float()
        return torch.sigmoid(raw[:, 0] if raw.shape[1] == 1 else raw[:, 1] - raw[:, 0])


class VGG16(nn.Module):
    """Five stages, each with a max-pool that remembers its indices."""

    def __init__(self, channels, normed, width):
        super().__init__()
        self.stages = []
        for i, stage in enumerate(VGG, 1):
            widths = [scaled(c, width) for c in stage]
            names, channels = chain(self, f"conv{i}_", channels, widths, normed)
            self.stages.append(names)

    def forward(self, x):
        """Pooled maps and indices, strides 2 to 32."""
        ends = []
        for names in self.stages:
            x = F.max_pool2d(run(self, names, x), 2, return_indices=True)
            ends.append(x)
            x = x[0]
        return ends


class SegNet(Segmentation):
    """VGG16 with batch norm and its mirror with max-unpooling; two classes."""

    def __init__(self, channels, classes=2, width=1.0):
        super().__init__()
        self.encoder = VGG16(channels, True, width)
        self.stages, i = [], scaled(512, width)
        for n, stage in zip((5, 4, 3, 2, 1), MIRROR, strict=True):
            widths = [scaled(c, width) for c in stage]
            names, i = chain(self, f"deconv{n}_", i, widths)
            self.stages.append(names)
        self.logits = nn.Conv2d(i, classes, 3, padding=1)

    def forward(self, image):
        ends = self.encoder(standardised(padded(image, 32)))
        x = ends[-1][0]
        for names, (_, index) in zip(self.stages, reversed(ends), strict=True):
            x = run(self, names, F.max_unpool2d(x, index, 2))
        return self.logits(x)[..., : image.shape[2], : image.shape[3]]


class UNet(Segmentation):
    """64 to 1024 channels, transposed convolutions up, one class."""

    def __init__(self, channels, width=1.0):
        super().__init__()
        widths = [scaled(c, width) for c in (64, 128, 256, 512, 1024)]
        self.down, self.back, i = [], [], channels
        for n, o in enumerate(widths):
            names, i = chain(self, f"down{n}_", i, (o, o))
            self.down.append(names)
        for n in (3, 2, 1, 0):
            o = widths[n]
            self.add_module(f"up{n}", nn.ConvTranspose2d(i, o, 2, 2))
            names, i = chain(self, f"up{n}_", 2 * o, (o, o))
            self.back.append((f"up{n}", names))
        self.logits = nn.Conv2d(i, 1, 1)

    def forward(self, image):
        x, maps = standardised(padded(image, 16)), []
        for n, names in enumerate(self.down):
            x = run(self, names, F.max_pool2d(x, 2) if n else x)
            maps.append(x)
        maps.pop()
        for up, names in self.back:
            x = torch.cat([maps.pop(), getattr(self, up)(x)], 1)
            x = run(self, names, x)
        return self.logits(x)[..., : image.shape[2], : image.shape[3]]


class FCN8s(Segmentation):
    """VGG16, 1x1 scores at strides 32, 16 and 8, bilinear enlargement."""

    def __init__(self, channels, normed=False, width=1.0):
        super().__init__()
        self.encoder = VGG16(channels, normed, width)
        for stride, c in ((32, 512), (16, 512), (8, 256)):
            self.add_module(f"score{stride}", nn.Conv2d(scaled(c, width), 1, 1))

    def forward(self, image):
        def up(x, factor):
            return F.interpolate(x, scale_factor=factor, mode="bilinear")

        ends = self.encoder(standardised(padded(image, 32)))
        x = self.score32(ends[4][0])
        x = self.score16(ends[3][0]) + up(x, 2)
        x = self.score8(ends[2][0]) + up(x, 2)
        return up(x, 8)[..., : image.shape[2], : image.shape[3]]
