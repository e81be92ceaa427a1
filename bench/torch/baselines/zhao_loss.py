"""Losses of guided anchoring and of the second stage, for samples that are given."""

import torch
from torch.nn import functional as F

STRIDES = (4, 8, 16, 32, 64)


def squares(sizes, base_scale, device):
    """(cx, cy, side, side) of each cell; sizes are (rows, columns) of the levels."""
    out = []
    for (h, w), stride in zip(sizes, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        side = torch.full((h, w), base_scale)
        out.append(torch.stack([x, y, side, side], -1).view(-1, 4) * stride)
    return torch.cat(out).to(device)


def centred(boxes):
    """(x0, y0, x1, y1) to (cx, cy, w, h)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def encode(anchors, boxes, stds):
    """Deltas from anchors to boxes, both (cx, cy, w, h)."""
    shift = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    ratio = torch.log(boxes[..., 2:] / anchors[..., 2:])
    return torch.cat([shift, ratio], -1) / anchors.new_tensor(stds)


def at(x, index):
    """Rows of each image."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))


def mean(values, chosen, valid):
    """The sum of the chosen, over the number of the sampled."""
    if values.ndim == 3:
        values = values.sum(-1)
    return values[chosen].sum() / valid.sum().clamp(min=1)


def losses(net, raw, batch):
    """Terms by name."""
    guides = raw["guides"]
    logit, target = guides["location"], batch.location
    p = torch.sigmoid(logit)
    p_t = torch.where(target, p, 1 - p)
    alpha = torch.where(target, 0.25, 0.75)
    entropy = F.binary_cross_entropy_with_logits(
        logit, target.float(), reduction="none"
    )
    focal = alpha * (1 - p_t) ** 2 * entropy
    loc = (batch.weight * focal).sum() / (logit.numel() / 200)

    sizes = [x.shape[2:] for x in raw["levels"]]
    square = squares(sizes, net.base_scale, logit.device)[None]
    side = square[..., 2:] * torch.exp(0.14 * guides["shape"])
    anchors = torch.cat([square[..., :2].expand_as(side), side], -1)

    s = batch.shape
    own, true = at(anchors, s.at), centred(s.boxes)
    shift = 2 * (true[..., :2] - own[..., :2]).abs()
    wh, t_wh = own[..., 2:], true[..., 2:]
    e_xy = 1 - ((t_wh - shift) / (t_wh + shift + 1e-3)).clamp(min=0)
    e_wh = 1 - torch.minimum(t_wh / (wh + 1e-3), wh / (t_wh + 1e-3))
    e = torch.cat([e_xy, e_wh], -1)
    e = F.smooth_l1_loss(e, torch.zeros_like(e), beta=0.2, reduction="none")
    shape = mean(e, s.positive, s.valid)

    s = batch.score
    score = guides["score"].gather(1, s.at)
    entropy = F.binary_cross_entropy_with_logits(
        score, s.positive.float(), reduction="none"
    )
    want = encode(
        at(anchors.detach(), s.at), centred(s.boxes), (0.07, 0.07, 0.11, 0.11)
    )
    away = F.smooth_l1_loss(at(guides["delta"], s.at), want, reduction="none")
    rpn_cls = mean(entropy, s.valid, s.valid)
    rpn_box = mean(away, s.positive, s.valid)

    s = batch.regions
    logits, deltas = (x.float() for x in net.regions(raw, s.boxes))
    entropy = F.cross_entropy(logits.transpose(1, 2), s.classes, reduction="none")
    classes = deltas.shape[2]
    index = s.classes.clamp(max=classes - 1)[..., None, None].expand(-1, -1, 1, 4)
    away = (deltas.gather(2, index)[:, :, 0] - s.deltas).abs()
    positive = s.valid & (s.classes < classes)
    return {
        "loc": loc,
        "shape": shape,
        "rpn_cls": rpn_cls,
        "rpn_box": rpn_box,
        "cls": mean(entropy, s.valid, s.valid),
        "box": mean(away, positive, s.valid),
    }
