"""The graphs of the package in PyTorch, for speed only: YOLOv5 (PAN) and TQGDNet.

Written from the tables of the specification. `bench.speed.network` checks the number of
parameters, `python -m bench.torch.same` outputs, loss and gradient with our weights in it.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
STRIDES = (8, 16, 32)
SIZES = {
    "n": (0.33, 0.25, 96),
    "s": (0.33, 0.50, 128),
    "m": (0.67, 0.75, 192),
    "l": (1.0, 1.0, 192),
}


class ConvBnAct(nn.Module):
    """Convolution, batch norm, activation; `pad` is (before, after)."""

    def __init__(self, i, o, k=1, stride=1, pad=None, act=True):
        super().__init__()
        before, after = pad or (k // 2, k // 2)
        # An uneven pad is a step of its own, as in any PyTorch model.
        self.uneven = None if before == after else (before, after, before, after)
        self.conv = nn.Conv2d(i, o, k, stride, 0 if self.uneven else before, bias=False)
        self.bn = nn.BatchNorm2d(o, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU(inplace=True) if act else nn.Identity()

    def forward(self, x):
        """One block; `bn` is gone after `fuse`."""
        if self.uneven:
            x = F.pad(x, self.uneven)
        return self.act(self.bn(self.conv(x)))


class C3(nn.Module):
    """YOLOv5's cross-stage block with `n` bottlenecks."""

    def __init__(self, i, o, n, add=False):
        super().__init__()
        h = o // 2
        self.a, self.b, self.out = ConvBnAct(i, h), ConvBnAct(i, h), ConvBnAct(2 * h, o)
        self.m = nn.ModuleList(
            nn.Sequential(ConvBnAct(h, h), ConvBnAct(h, h, 3)) for _ in range(n)
        )
        self.add = add

    def forward(self, x):
        """Half of the channels through the bottlenecks."""
        a = self.a(x)
        for m in self.m:
            a = a + m(a) if self.add else m(a)
        return self.out(torch.cat([a, self.b(x)], 1))


class SPPF(nn.Module):
    """Three 5x5 max-pools in a row."""

    def __init__(self, c):
        super().__init__()
        self.a, self.out = ConvBnAct(c, c // 2), ConvBnAct(2 * c, c)

    def forward(self, x):
        """All four maps joined."""
        maps = [self.a(x)]
        for _ in range(3):
            maps.append(F.max_pool2d(maps[-1], 5, 1, 2))
        return self.out(torch.cat(maps, 1))


class ThrConvs(nn.Module):
    """Eqs. 1-4: kernels 8, 12, 8; the second padded the other way round."""

    def __init__(self, c):
        super().__init__()
        self.a = ConvBnAct(c, c, 8, pad=(3, 4))
        self.b = ConvBnAct(c, c, 12, pad=(6, 5))
        self.c = ConvBnAct(c, c, 8, pad=(3, 4))

    def forward(self, x):
        """Residual of the back-projection, convolved, plus the first map."""
        x1 = self.a(x)
        return self.c(x - self.b(x1)) + x1


class RepConv(nn.Module):
    """3x3, 1x1 and identity branches, one convolution after `fuse`."""

    def __init__(self, c):
        super().__init__()
        self.k3 = ConvBnAct(c, c, 3, act=False)
        self.k1 = ConvBnAct(c, c, 1, act=False)
        self.bn = nn.BatchNorm2d(c, eps=1e-3, momentum=0.03)
        self.fused = None

    def forward(self, x):
        """ReLU of the sum."""
        if self.fused is not None:
            return F.relu(self.fused(x), inplace=True)
        return F.relu(self.k3(x) + self.k1(x) + self.bn(x))


class Pan(nn.Module):
    """YOLOv5's neck; takes and returns (P2, P3, P4, P5)."""

    def __init__(self, c, n):
        super().__init__()
        _, c3, c4, c5 = c
        self.l5, self.t4 = ConvBnAct(c5, c4), C3(2 * c4, c4, n)
        self.l4, self.t3 = ConvBnAct(c4, c3), C3(2 * c3, c3, n)
        self.s3, self.o4 = ConvBnAct(c3, c3, 3, 2), C3(2 * c3, c4, n)
        self.s4, self.o5 = ConvBnAct(c4, c4, 3, 2), C3(2 * c4, c5, n)

    def forward(self, levels):
        """Top down, then bottom up."""
        p2, p3, p4, p5 = levels
        l5 = self.l5(p5)
        l4 = self.l4(self.t4(torch.cat([F.interpolate(l5, scale_factor=2), p4], 1)))
        t3 = self.t3(torch.cat([F.interpolate(l4, scale_factor=2), p3], 1))
        o4 = self.o4(torch.cat([self.s3(t3), l4], 1))
        return p2, t3, o4, self.o5(torch.cat([self.s4(o4), l5], 1))


def up(x, factor=2):
    """Bilinear, half-pixel centres."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def down(x):
    """Max-pool 3x3, stride 2."""
    return F.max_pool2d(x, 3, 2, 1)


class Queen(nn.Module):
    """Queen-fusion: two columns over P2..P5, Eq. 5."""

    def __init__(self, c, n):
        super().__init__()
        c2, c3, c4, c5 = c
        inputs = {
            "a5": c5 + c4, "a4": c4 + c5 + c3 + c5, "a3": c3 + c4 + c2 + c4,
            "a2": c2 + c3 + c3, "q2": c2 + c3, "q3": c3 + c4 + 2 * c2,
            "q4": c4 + c5 + 2 * c3, "q5": c5 + 2 * c4,
        }  # fmt: skip
        self.nodes = nn.ModuleDict(
            {k: C3(i, c[int(k[1]) - 2], n) for k, i in inputs.items()}
        )

    def forward(self, levels):
        """Coarse to fine, then fine to coarse."""

        def node(name, *maps):
            return self.nodes[name](torch.cat(maps, 1))

        p2, p3, p4, p5 = levels
        a5 = node("a5", p5, down(p4))
        a4 = node("a4", p4, up(p5), down(p3), up(a5))
        a3 = node("a3", p3, up(p4), down(p2), up(a4))
        a2 = node("a2", p2, up(p3), up(a3))
        q2 = node("q2", a2, up(a3))
        q3 = node("q3", a3, up(a4), down(a2), down(q2))
        q4 = node("q4", a4, up(a5), down(a3), down(q3))
        return q2, q3, q4, node("q5", a5, down(a4), down(q4))


class Gd(nn.Module):
    """Gather-and-distribute, Eqs. 6-10; injects into P3, P4, P5."""

    def __init__(self, c, embed):
        super().__init__()
        self.embed = ConvBnAct(sum(c), embed)
        self.fuse = nn.Sequential(*(RepConv(embed) for _ in range(3)))
        self.local, self.gate, self.shift = (
            nn.ModuleList(ConvBnAct(i or o, o, act=False) for o in c[1:])
            for i in (None, embed, embed)
        )
        self.rep = nn.ModuleList(RepConv(o) for o in c[1:])

    def forward(self, levels):
        """One global map for all levels."""
        size = levels[-1].shape[2]
        f = [
            F.avg_pool2d(x, x.shape[2] // size) if x.shape[2] > size else x
            for x in levels
        ]
        i_r, out = self.fuse(self.embed(torch.cat(f, 1))), [levels[0]]
        for i, q in enumerate(levels[1:]):
            g1, g2 = torch.sigmoid(self.gate[i](i_r)), self.shift[i](i_r)
            if q.shape[2] > size:
                g1, g2 = up(g1, q.shape[2] // size), up(g2, q.shape[2] // size)
            out.append(self.rep[i](self.local[i](q) * g1 + g2))
        return tuple(out)


class Detector(nn.Module):
    """Returns per head (b, anchors, y, x, 5 + classes); `neck` names stages."""

    def __init__(self, size="s", thr=False, neck=("pan",), classes=1):
        super().__init__()
        depth, width, embed = SIZES[size]

        def ch(base):
            return math.ceil(base * width / 8) * 8

        def rep(base):
            return max(round(base * depth), 1)

        c1, c2, c3, c4, c5 = c = [ch(64 * 2**i) for i in range(5)]
        self.p1 = ConvBnAct(3, c1, 6, 2, pad=(2, 2))
        self.thr1 = ThrConvs(c1) if thr else nn.Identity()
        self.p2 = ConvBnAct(c1, c2, 3, 2)
        self.thr2 = ThrConvs(c2) if thr else nn.Identity()
        self.b2 = C3(c2, c2, rep(3), True)
        self.b3 = nn.Sequential(ConvBnAct(c2, c3, 3, 2), C3(c3, c3, rep(6), True))
        self.b4 = nn.Sequential(ConvBnAct(c3, c4, 3, 2), C3(c4, c4, rep(9), True))
        self.b5 = nn.Sequential(
            ConvBnAct(c4, c5, 3, 2), C3(c5, c5, rep(3), True), SPPF(c5)
        )
        stages = {
            "pan": lambda: Pan(c[1:], rep(3)),
            "queen": lambda: Queen(c[1:], rep(3)),
            "gd": lambda: Gd(c[1:], embed),
        }
        self.neck = nn.ModuleList(stages[name]() for name in neck)
        self.head = nn.ModuleList(nn.Conv2d(i, 3 * (5 + classes), 1) for i in c[2:])

    def forward(self, x):
        """Raw predictions, finest head first."""
        p2 = self.b2(self.thr2(self.p2(self.thr1(self.p1(x)))))
        p3 = self.b3(p2)
        p4 = self.b4(p3)
        levels = (p2, p3, p4, self.b5(p4))
        for stage in self.neck:
            levels = stage(levels)
        preds = []
        for head, level in zip(self.head, levels[1:], strict=True):
            y = head(level)
            b, _, h, w = y.shape
            preds.append(y.view(b, 3, -1, h, w).permute(0, 1, 3, 4, 2))
        return preds


def build(model, classes=1):
    """The graph by its name and size, `yolov5s` or `tqgdnets`."""
    name, size = model[:-1], model[-1]
    if name == "yolov5":
        return Detector(size, classes=classes)
    return Detector(size, thr=True, neck=("queen", "gd"), classes=classes)


def fuse(net):
    """A copy for inference: batch norms folded, RepConv one convolution."""
    net = copy.deepcopy(net).eval()
    for m in net.modules():
        if isinstance(m, ConvBnAct):
            m.conv = nn.utils.fusion.fuse_conv_bn_eval(m.conv, m.bn)
            m.bn = nn.Identity()
    for m in net.modules():
        if isinstance(m, RepConv):
            gain = m.bn.weight / torch.sqrt(m.bn.running_var + m.bn.eps)
            kernel = m.k3.conv.weight.detach().clone()
            kernel[:, :, 1, 1] += m.k1.conv.weight[:, :, 0, 0] + torch.diag(gain)
            bias = (
                m.k3.conv.bias + m.k1.conv.bias + m.bn.bias - gain * m.bn.running_mean
            )
            c = kernel.shape[0]
            m.fused = nn.Conv2d(c, c, 3, padding=1).to(kernel.device)
            m.fused.weight.data, m.fused.bias.data = kernel, bias.detach()
            m.k3 = m.k1 = m.bn = None
    return net.requires_grad_(False)
