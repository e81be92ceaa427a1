"""Target assignment and loss of the specification (B.1, B.2, GIoU) in PyTorch.

Targets are packed rows (image, x0, y0, x1, y1) in pixels, one class: nothing is padded,
which is PyTorch's usual and fastest way.
"""

import torch
from torch.nn import functional as F

from bench.torch.model import ANCHORS, STRIDES

BALANCE = (4.0, 1.0, 0.4)
OFFSETS = ((0, 0), (0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5))


def giou(a, b, eps=1e-7):
    """Generalized IoU of rows (cx, cy, w, h)."""
    a0, a1 = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b0, b1 = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    inter = (torch.minimum(a1, b1) - torch.maximum(a0, b0)).clamp(0).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - inter + eps
    hull = (torch.maximum(a1, b1) - torch.minimum(a0, b0)).prod(1) + eps
    return inter / union - (hull - union) / hull


def matches(targets, anchors, h, w, stride, threshold=4.0):
    """(image, anchor, row, column), box relative to the cell, anchor size; in cells."""
    box = targets[:, 1:] / stride
    g = torch.cat([(box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]], 1)
    ratio = g[None, :, 2:] / anchors[:, None]
    a, t = (torch.maximum(ratio, 1 / ratio).amax(2) < threshold).nonzero(as_tuple=True)
    g, image = g[t], targets[t, 0].long()
    xy, end = g[:, :2], torch.tensor((w, h), device=g.device) - g[:, :2]
    low, high = (xy % 1 < 0.5) & (xy > 1), (end % 1 < 0.5) & (end > 1)
    near = torch.stack(
        [torch.ones_like(low[:, 0]), low[:, 0], low[:, 1], high[:, 0], high[:, 1]]
    )
    k, m = near.nonzero(as_tuple=True)
    cell = (xy[m] - torch.tensor(OFFSETS, device=g.device)[k]).floor()
    box = torch.cat([xy[m] - cell, g[m, 2:]], 1)
    cell = cell.long()
    where = (image[m], a[m], cell[:, 1].clamp(0, h - 1), cell[:, 0].clamp(0, w - 1))
    return where, box, anchors[a[m]]


def loss(preds, targets, image_size):
    """The loss of a batch, times its size."""
    box = obj = preds[0].new_zeros((), dtype=torch.float32)
    for pred, anchor, stride, weight in zip(
        preds, ANCHORS, STRIDES, BALANCE, strict=True
    ):
        pred = pred.float()
        anchors = torch.tensor(anchor, device=pred.device, dtype=torch.float32) / stride
        where, true, wh = matches(targets, anchors, *pred.shape[2:4], stride)
        want = torch.zeros(pred.shape[:-1], device=pred.device)
        if len(true):
            t = pred[where][:, :4].sigmoid()
            mine = torch.cat([2 * t[:, :2] - 0.5, (2 * t[:, 2:]) ** 2 * wh], 1)
            iou = giou(mine, true)
            box = box + (1 - iou).mean()
            image, anchor_of, row, column = where
            flat = (image * want.shape[1] + anchor_of) * want.shape[2] + row
            flat = flat * want.shape[3] + column
            # Of two boxes in one cell the better counts, whatever their order.
            want.view(-1).scatter_reduce_(0, flat, iou.detach().clamp(0), "amax")
        obj = obj + weight * F.binary_cross_entropy_with_logits(pred[..., 4], want)
    gain = (image_size / 640) ** 2
    return (0.05 * box + gain * obj) * preds[0].shape[0]
