"""What the segmentation networks share."""

import torch
from torch import nn
from torch.nn import functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def scaled(base, width):
    """Channels at a multiple of the width."""
    return max(8, 8 * round(base * width / 8))


def standardised(image):
    """By ImageNet's mean and deviation; their means if there are not three channels."""
    if image.shape[1] != 3:
        return (image - sum(MEAN) / 3) / (sum(STD) / 3)
    mean, std = (image.new_tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    return (image - mean) / std


def padded(x, multiple, value=0.0):
    """Rows below and columns to the right, so that sides are multiples."""
    return F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple), value=value)


class ConvNormReLU(nn.Module):
    """3x3 convolution with a bias, batch norm or none, ReLU."""

    def __init__(self, i, o, normed=True):
        super().__init__()
        self.conv = nn.Conv2d(i, o, 3, padding=1)
        self.norm = nn.BatchNorm2d(o) if normed else nn.Identity()

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)), inplace=True)


def chain(module, name, i, widths, normed=True):
    """Registers `name1`, `name2`, ... in the module; returns their names and outputs."""
    names = []
    for j, o in enumerate(widths, 1):
        module.add_module(f"{name}{j}", ConvNormReLU(i, o, normed))
        names.append(f"{name}{j}")
        i = o
    return names, i


def run(module, names, x):
    """The chain on a map."""
    for name in names:
        x = getattr(module, name)(x)
    return x


def lesion_loss(logits, target):
    """Binary cross-entropy and Dice of all pixels as one image; one logit or two."""
    logit = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
    logit, target = logit.float(), target.float()
    p = torch.sigmoid(logit)
    bce = F.binary_cross_entropy_with_logits(logit, target)
    dice = 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    return {"bce": bce, "dice": dice}
