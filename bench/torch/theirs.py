"""PyTorch's side of the comparison, eager or compiled, either memory format."""

import copy
import time

import torch

from bench.torch.loss import loss
from bench.torch.model import build, fuse


def device():
    """GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait():
    """Nothing is queued any more."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def set_precision(precision):
    """Products of a GPU; "bf16" is autocast (AMP), TF32 for what it leaves in float32."""
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.benchmark = True


def autocast(precision):
    """bfloat16 where PyTorch thinks it safe, or nothing."""
    return torch.autocast(device().type, torch.bfloat16, enabled=precision == "bf16")


def tensor(images, last):
    """NHWC array to an NCHW tensor in the asked memory format."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    layout = torch.channels_last if last else torch.contiguous_format
    return x.contiguous(memory_format=layout).to(device())


def network(model, last):
    """The graph on the device."""
    torch.manual_seed(0)
    layout = torch.channels_last if last else torch.contiguous_format
    return build(model).to(device(), memory_format=layout)


def parameters(model):
    """Number of trainable values."""
    return sum(p.numel() for p in build(model).parameters())


def packed(boxes, valid):
    """Rows (image, x0, y0, x1, y1)."""
    rows = [(i, *box) for i in range(len(boxes)) for box in boxes[i][valid[i]]]
    return torch.tensor(rows, device=device(), dtype=torch.float32).reshape(-1, 5)


class TrainStep:
    """Forward, loss, backward, clip, SGD with Nesterov momentum, EMA."""

    def __init__(
        self, net, images, boxes, valid, *, precision, last, compiled=False, steps=1
    ):
        """Runs once, which compiles; see `ours.TrainStep` for the arguments."""
        self._net, self._steps, self._precision = net.train(), steps, precision
        kernels = [p for p in net.parameters() if p.ndim == 4]
        others = [p for p in net.parameters() if p.ndim != 4]
        self._opt = torch.optim.SGD(
            [{"params": kernels, "weight_decay": 5e-4}, {"params": others}],
            lr=1e-3, momentum=0.937, nesterov=True, foreach=True,
        )  # fmt: skip
        ema = copy.deepcopy(net).state_dict().values()
        pairs = zip(ema, net.state_dict().values(), strict=True)
        pairs = [(a.detach(), b) for a, b in pairs if a.is_floating_point()]
        self._ema, self._now = (list(t) for t in zip(*pairs, strict=True))
        self._forward = torch.compile(net) if compiled else net
        self._x, self._targets = tensor(images, last), packed(boxes, valid)
        start = time.perf_counter()
        self.metrics = self()
        self.first_s = time.perf_counter() - start

    def __call__(self):
        """The steps of a call; waits and returns the metrics of the last."""
        for _ in range(self._steps):
            with autocast(self._precision):
                preds = self._forward(self._x)
            value = loss(preds, self._targets, self._x.shape[2])
            self._opt.zero_grad()
            value.backward()
            norm = torch.nn.utils.clip_grad_norm_(self._net.parameters(), 10.0)
            self._opt.step()
            with torch.no_grad():
                torch._foreach_lerp_(self._ema, self._now, 0.001)
        return {"loss": value.item(), "grad_norm": norm.item()}


class Inference:
    """The network with everything folded, on one batch."""

    def __init__(self, net, images, *, precision, last, compiled=False):
        """Runs once, which compiles."""
        net = fuse(net)
        self._forward = torch.compile(net) if compiled else net
        self._x, self._precision = tensor(images, last), precision
        start = time.perf_counter()
        self()
        self.first_s = time.perf_counter() - start

    def __call__(self):
        """Waits for the raw predictions."""
        with torch.inference_mode(), autocast(self._precision):
            out = self._forward(self._x)
        wait()
        return out
