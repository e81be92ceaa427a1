"""PyTorch's side: a training step and an inference of a competitor."""

import copy
import time

import torch

from bench.torch.theirs import autocast, device, tensor, wait


def optimiser(net, cfg):
    """SGD or Adam, as the configuration has it; PyTorch's decay is coupled as ours."""
    weights = [p for n, p in net.named_parameters() if n != "uncertainty"]
    others = [p for n, p in net.named_parameters() if n == "uncertainty"]
    groups = [{"params": weights, "weight_decay": cfg.weight_decay}]
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    if cfg.method == "adam":
        betas = (cfg.momentum, cfg.beta2)
        return torch.optim.Adam(groups, lr=1e-3, betas=betas, foreach=True)
    return torch.optim.SGD(groups, lr=1e-3, momentum=cfg.momentum, foreach=True)


class TrainStep:
    """Forward, loss, backward, clip, optimiser, EMA."""

    def __init__(self, net, images, batch, cfg, *, precision, last, steps=1):
        """Runs once.

        Args:
          net: on the device.
          images: NHWC, in [0, 1].
          batch: what `net.loss` is to answer, tensors.
          cfg: `config.Optim` of the run.
          precision: "fp32", "tf32" or "bf16".
          last: channels last.
          steps: of one call.
        """
        layout = torch.channels_last if last else torch.contiguous_format
        self._net = net.to(memory_format=layout).train()
        self._x, self._batch, self._steps = tensor(images, last), batch, steps
        self._precision, self._clip = precision, cfg.clip_norm
        self._opt = optimiser(net, cfg)
        ema = copy.deepcopy(net).state_dict().values()
        pairs = zip(ema, net.state_dict().values(), strict=True)
        pairs = [(a.detach(), b) for a, b in pairs if a.is_floating_point()]
        self._ema, self._now = (list(t) for t in zip(*pairs, strict=True))
        start = time.perf_counter()
        self()
        self.first_s = time.perf_counter() - start

    def __call__(self):
        """The steps of a call; waits and returns the last loss."""
        for _ in range(self._steps):
            with autocast(self._precision):
                raw = self._net(self._x)
                value = sum(self._net.loss(raw, self._batch).values())
            self._opt.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), self._clip)
            self._opt.step()
            with torch.no_grad():
                torch._foreach_lerp_(self._ema, self._now, 0.001)
        return value.item()


class Inference:
    """A map of probabilities, or of both stages the raw outputs on given boxes."""

    def __init__(self, net, images, boxes=None, *, precision, last):
        """Runs once; `boxes` (images, n, 4) are those of the second stage."""
        layout = torch.channels_last if last else torch.contiguous_format
        self._net = net.to(device(), memory_format=layout).eval()
        self._x, self._precision = tensor(images, last), precision
        self._boxes = None if boxes is None else torch.from_numpy(boxes).to(device())
        self()

    def __call__(self):
        """Waits for the answer."""
        with torch.inference_mode(), autocast(self._precision):
            out = self._net(self._x)
            if self._boxes is None:
                out = self._net.probability(out)
            else:
                out = out["guides"], self._net.regions(out, self._boxes)
        wait()
        return out
