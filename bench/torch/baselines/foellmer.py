"""The multi-task U-Net of Foellmer et al. (specification J.2)."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from bench.torch.baselines.blocks import scaled

DOWN = (16, 32, 32, 64, 64, 64, 128, 128)
UP = (128, 64, 64, 64, 32, 32, 16)
AIR = (-1024 + 2000) / 3300

leaky = partial(F.leaky_relu, negative_slope=0.2, inplace=True)


class Block(nn.Module):
    """Two convolutions; batch norm after the second."""

    def __init__(self, i, o, kernel=3, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, kernel, stride, padding=1)
        self.conv2 = nn.Conv2d(o, o, 3, padding=1)
        self.norm = nn.BatchNorm2d(o)

    def forward(self, x):
        return leaky(self.norm(self.conv2(leaky(self.conv1(x)))))


class Head(nn.Module):
    """Two 3x3 convolutions to logits."""

    def __init__(self, i, hidden, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(i, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, classes, 3, padding=1)

    def forward(self, x):
        return self.conv2(leaky(self.conv1(x)))


class MultiTaskUNet(nn.Module):
    """Eight halvings, a decoder of regions (or none), a decoder of lesions."""

    def __init__(
        self, regions, hu_window, lesion_hu, dropout=0.5, least_side=512, width=1.0
    ):
        super().__init__()
        stem, *down = [scaled(c, width) for c in (16, *DOWN)]
        up = [scaled(c, width) for c in UP]
        self.regions, self.window, self.lesion_hu = regions, hu_window, lesion_hu
        self.least = least_side
        self.stem1 = nn.Conv2d(2, stem, 5, padding=2)
        self.stem2 = nn.Conv2d(stem, stem, 5, padding=2)
        i, skips = stem, []
        for n, o in enumerate(down, 1):
            skips.insert(0, i)
            self.add_module(f"down{n}", Block(i, o, 4, 2))
            i = o
        self.dropout = nn.Dropout(dropout)
        beside = list(skips)
        if regions:
            x = i
            for n, o in enumerate((*up, scaled(16, width))):
                self.add_module(f"region{n + 1}", Block(x + skips[n], o))
                beside[n] += o
                x = o
            self.region_head = Head(x, 4, 4)
            self.uncertainty = nn.Parameter(torch.zeros(2))
        x = i
        for n, o in enumerate((*up, scaled(32, width))):
            j = x + beside[n] + (2 if n == 7 else 0)
            self.add_module(f"lesion{n + 1}", Block(j, o))
            x = o
        self.lesion_head = Head(x, scaled(16, width), 2)

    def channels(self, image):
        """Density and candidates; with air the sides are multiples of 256, or `least`."""
        low, high = self.window
        hu = low + image[:, image.shape[1] // 2] * (high - low)
        # Rounding must not make calcium of the threshold itself.
        candidate = (hu > self.lesion_hu + 0.01).float()
        h, w = hu.shape[1:]
        right, down = (-(-max(self.least, n) // 256) * 256 - n for n in (w, h))
        pad = (0, right, 0, down)
        density = F.pad((hu + 2000) / 3300, pad, value=AIR)
        return torch.stack([density, F.pad(candidate, pad)], 1)

    def forward(self, image):
        def up(x):
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

        def cut(x):
            return x[..., : image.shape[2], : image.shape[3]]

        given = self.channels(image)
        x, skips = leaky(self.stem2(leaky(self.stem1(given)))), []
        for n in range(1, 9):
            skips.insert(0, x)
            x = getattr(self, f"down{n}")(x)
        bottom, raw = self.dropout(x), {}
        beside = [(skip,) for skip in skips]
        if self.regions:
            x = bottom
            for n, skip in enumerate(skips):
                x = getattr(self, f"region{n + 1}")(torch.cat([up(x), skip], 1))
                beside[n] = (x, skip)
            raw["region"] = cut(self.region_head(x))
        x = bottom
        for n, maps in enumerate(beside):
            maps = (up(x), *maps, given) if n == 7 else (up(x), *maps)
            x = getattr(self, f"lesion{n + 1}")(torch.cat(maps, 1))
        raw["lesion"] = cut(self.lesion_head(x))
        return raw

    def loss(self, raw, batch):
        """Weighted terms; `batch["region"]` has the labels of the regions."""
        lesion = F.cross_entropy(raw["lesion"].float(), (batch["lesion"] > 0).long())
        if not self.regions:
            return {"lesion": lesion}
        region = F.cross_entropy(raw["region"].float(), batch["region"])
        s = self.uncertainty
        terms = {"region": region * torch.exp(-s[0]) + s[0]}
        return terms | {"lesion": lesion * torch.exp(-s[1]) + s[1]}

    def probability(self, raw):
        """Of lesion, of each pixel."""
        return torch.softmax(raw["lesion"].float(), 1)[:, 1]
