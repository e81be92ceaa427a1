"""Faster R-CNN with guided anchoring (specification J.1, 1.2), up to boxes given.

Neither proposals nor assignment: the second stage reads boxes that it is given, the loss
samples that it is given. RoIAlign and the deformable convolution are `grid_sample`, not
the kernels of torchvision.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from bench.torch.baselines.blocks import scaled, standardised
from bench.torch.baselines.zhao_loss import losses

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
GROUPS = 4


def normed(kind, c):
    """Batch norm, or group norm of up to 32 groups."""
    return nn.BatchNorm2d(c) if kind == "batch" else nn.GroupNorm(math.gcd(32, c), c)


class Block(nn.Module):
    """A residual block, basic or bottleneck, with the stride in its first 3x3."""

    def __init__(self, i, o, bottleneck, stride, kind):
        super().__init__()
        c = o // 4 if bottleneck else o
        shapes = [(i, o, 3, stride), (o, o, 3, 1)]
        if bottleneck:
            shapes = [(i, c, 1, 1), (c, c, 3, stride), (c, o, 1, 1)]
        self.count = len(shapes)
        for n, (a, b, k, s) in enumerate(shapes, 1):
            self.add_module(f"conv{n}", nn.Conv2d(a, b, k, s, k // 2, bias=False))
            self.add_module(f"bn{n}", normed(kind, b))
        self.fits = stride == 1 and i == o
        if not self.fits:
            self.downsample_0 = nn.Conv2d(i, o, 1, stride, bias=False)
            self.downsample_1 = normed(kind, o)

    def forward(self, x):
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            if n < self.count:
                y = F.relu(y, inplace=True)
        x = x if self.fits else self.downsample_1(self.downsample_0(x))
        return F.relu(y + x, inplace=True)


class ResNet(nn.Module):
    """Strides 4 to 32."""

    def __init__(self, depth, channels, kind, width):
        super().__init__()
        i = scaled(64, width)
        self.conv1 = nn.Conv2d(channels, i, 7, 2, 3, bias=False)
        self.bn1 = normed(kind, i)
        self.stages, self.outputs = [], []
        for n, blocks in enumerate(BLOCKS[depth]):
            o = scaled(64 * 2**n, width) * (4 if depth >= 50 else 1)
            names = [f"layer{n + 1}_{j}" for j in range(blocks)]
            for j, name in enumerate(names):
                stride = 2 if n and not j else 1
                self.add_module(name, Block(i, o, depth >= 50, stride, kind))
                i = o
            self.stages.append(names)
            self.outputs.append(o)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x, out = F.max_pool2d(x, 3, 2, 1), []
        for names in self.stages:
            for name in names:
                x = getattr(self, name)(x)
            out.append(x)
        return out


class FPN(nn.Module):
    """P2 to P6."""

    def __init__(self, inputs, c):
        super().__init__()
        for n, i in enumerate(inputs):
            self.add_module(f"inner_{n}", nn.Conv2d(i, c, 1))
            self.add_module(f"layer_{n}", nn.Conv2d(c, c, 3, padding=1))

    def forward(self, stages):
        x, out = None, []
        for n in (3, 2, 1, 0):
            y = getattr(self, f"inner_{n}")(stages[n])
            x = y if x is None else y + F.interpolate(x, scale_factor=2)
            out.insert(0, getattr(self, f"layer_{n}")(x))
        return [*out, F.max_pool2d(out[-1], 1, 2)]


def deform(x, offsets, weight):
    """Deformable 3x3 convolution; offsets (group, tap, (dy, dx)) in the channels."""
    b, c, h, w = x.shape
    offsets = offsets.float().reshape(b * GROUPS, 9, 2, h, w)
    tap = torch.arange(9, device=x.device)
    y = torch.arange(h, device=x.device)[None, :, None] + (tap // 3 - 1)[:, None, None]
    z = torch.arange(w, device=x.device)[None, None, :] + (tap % 3 - 1)[:, None, None]
    y, z = offsets[:, :, 0] + y, offsets[:, :, 1] + z
    grid = torch.stack([(2 * z + 1) / w - 1, (2 * y + 1) / h - 1], -1)
    columns = F.grid_sample(
        x.reshape(b * GROUPS, c // GROUPS, h, w).float(),
        grid.view(b * GROUPS, 9 * h, w, 2),
        align_corners=False,
    )
    columns = columns.view(b, c * 9, h * w)
    return (weight.flatten(1) @ columns.to(weight.dtype)).view(b, -1, h, w)


class Adaption(nn.Module):
    """The deformable convolution by the shape, or a convolution that sees it."""

    def __init__(self, c, kind):
        super().__init__()
        self.kind = kind
        if kind == "deformable":
            self.offset = nn.Conv2d(2, GROUPS * 18, 1, bias=False)
        self.conv = nn.Conv2d(
            c if kind == "deformable" else c + 2, c, 3, padding=1, bias=False
        )

    def forward(self, x, shape):
        if self.kind == "deformable":
            return deform(x, self.offset(shape), self.conv.weight)
        return self.conv(torch.cat([x, shape], 1))


class GuidedAnchors(nn.Module):
    """Location, shape, score and delta of each cell, levels after one another."""

    def __init__(self, c, adaption):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)
        self.location, self.shape = nn.Conv2d(c, 1, 1), nn.Conv2d(c, 2, 1)
        self.adaption = Adaption(c, adaption)
        self.score, self.delta = nn.Conv2d(c, 1, 1), nn.Conv2d(c, 4, 1)

    def forward(self, levels):
        out = []
        for level in levels:
            x = F.relu(self.conv(level))
            shape = self.shape(x)
            y = F.relu(self.adaption(x, shape.detach()))
            maps = self.location(x), shape, self.score(y), self.delta(y)
            out.append([m.float().flatten(2).transpose(1, 2) for m in maps])
        location, shape, score, delta = (
            torch.cat(m, 1) for m in zip(*out, strict=True)
        )
        return {
            "location": location[..., 0],
            "shape": shape,
            "score": score[..., 0],
            "delta": delta,
        }


def roi_align(levels, boxes, bins=7):
    """Rows (b r, c, 7, 7): means of 2x2 samples, each box on the level of its size."""
    b, r = boxes.shape[:2]
    size = boxes[..., 2:] - boxes[..., :2]
    level = torch.log2(size.prod(-1).sqrt() / 56).floor().clamp(0, 3)
    at = (torch.arange(2 * bins, device=boxes.device) + 0.5) / (2 * bins)
    out = boxes.new_zeros(b, r, levels[0].shape[1], bins, bins)
    for n, x in enumerate(levels):
        h, w = x.shape[2:]
        for image in range(b):
            own = (level[image] == n).nonzero()[:, 0]
            if not len(own):
                continue
            low = boxes[image, own, :2] / (4 * 2**n)
            side = size[image, own] / (4 * 2**n)
            # In pixels whose centres are whole numbers.
            px = low[:, :1] + at * side[:, :1] - 0.5
            py = low[:, 1:] + at * side[:, 1:] - 0.5
            gx = ((2 * px + 1) / w - 1)[:, None, :].expand(-1, 2 * bins, -1)
            gy = ((2 * py + 1) / h - 1)[:, :, None].expand(-1, -1, 2 * bins)
            grid = torch.stack([gx, gy], -1).view(1, -1, 2 * bins, 2)
            samples = F.grid_sample(
                x[image, None].float(), grid,
                padding_mode="border", align_corners=False,
            )  # fmt: skip
            samples = samples.view(-1, len(own), 2 * bins, 2 * bins).transpose(0, 1)
            far_x, far_y = (px < -1) | (px > w), (py < -1) | (py > h)
            far = far_y[:, None, :, None] | far_x[:, None, None, :]
            samples = samples.masked_fill(far, 0)
            out[image, own] = F.avg_pool2d(samples, 2)
    return out.flatten(0, 1)


class RoiHead(nn.Module):
    """Two dense layers, classes (background last) and class-wise deltas."""

    def __init__(self, c, hidden, classes):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(49 * c, hidden), nn.Linear(hidden, hidden)
        self.cls, self.box = (
            nn.Linear(hidden, classes + 1),
            nn.Linear(hidden, 4 * classes),
        )

    def forward(self, levels, boxes):
        b, r = boxes.shape[:2]
        x = F.relu(self.fc1(roi_align(levels, boxes).flatten(1)))
        x = F.relu(self.fc2(x))
        return self.cls(x).view(b, r, -1), self.box(x).view(b, r, -1, 4)


class GuidedFasterRCNN(nn.Module):
    """Both stages; `forward` is the first."""

    def __init__(
        self, depth=50, channels=256, hidden=1024, classes=1, in_channels=3,
        kind="group", adaption="deformable", width=1.0, base_scale=3.0,
    ):  # fmt: skip
        super().__init__()
        self.backbone = ResNet(depth, in_channels, kind, width)
        self.neck = FPN(self.backbone.outputs, channels)
        self.rpn = GuidedAnchors(channels, adaption)
        self.roi = RoiHead(channels, hidden, classes)
        self.base_scale = base_scale

    def forward(self, image):
        levels = self.neck(self.backbone(standardised(image)))
        return {"levels": levels, "guides": self.rpn(levels)}

    def regions(self, raw, boxes):
        """Logits and deltas of boxes (b, r, 4)."""
        return self.roi(raw["levels"][:4], boxes)

    def loss(self, raw, batch):
        """The six terms, for the samples in `batch`."""
        return losses(self, raw, batch)
