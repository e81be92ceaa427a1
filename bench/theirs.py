"""PyTorch's side of the comparison, eager or compiled, channels-last, AMP on a GPU."""

import copy

import torch

from bench.torch_loss import loss
from bench.torch_model import build, fuse


def device():
    """GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait():
    """Nothing is queued any more."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def tensor(images, last):
    """NHWC array to an NCHW tensor in the asked memory format."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    layout = torch.channels_last if last else torch.contiguous_format
    return x.contiguous(memory_format=layout).to(device())


def network(name, size, last):
    """The graph on the device."""
    torch.manual_seed(0)
    layout = torch.channels_last if last else torch.contiguous_format
    return build(name, size).to(device(), memory_format=layout)


def train_step(name, size, images, boxes, valid, *, last, amp, compiled):
    """Forward, loss, backward, clip, SGD Nesterov, EMA; returns a function."""
    net = network(name, size, last).train()
    kernels = [p for p in net.parameters() if p.ndim == 4]
    others = [p for p in net.parameters() if p.ndim != 4]
    opt = torch.optim.SGD(
        [{"params": kernels, "weight_decay": 5e-4}, {"params": others}],
        lr=1e-3, momentum=0.937, nesterov=True, foreach=True,
    )  # fmt: skip
    ema = [v.detach() for v in copy.deepcopy(net).state_dict().values()]
    state = list(net.state_dict().values())
    pairs = [(a, b) for a, b in zip(ema, state, strict=True) if a.is_floating_point()]
    ema, state = (list(t) for t in zip(*pairs, strict=True))
    forward = torch.compile(net) if compiled else net
    x = tensor(images, last)
    rows = [(i, *box) for i in range(len(boxes)) for box in boxes[i][valid[i]]]
    targets = torch.tensor(rows, device=device(), dtype=torch.float32).reshape(-1, 5)

    def run():
        with torch.autocast(device().type, torch.bfloat16, enabled=amp):
            preds = forward(x)
        value = loss(preds, targets, x.shape[2])
        opt.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        opt.step()
        with torch.no_grad():
            torch._foreach_lerp_(ema, state, 0.001)
        return value.item()

    return run


def inference(name, size, images, *, last, amp, compiled):
    """The fused network on one batch."""
    net = fuse(network(name, size, last))
    forward = torch.compile(net) if compiled else net
    x = tensor(images, last)

    def run():
        with (
            torch.inference_mode(),
            torch.autocast(device().type, torch.bfloat16, enabled=amp),
        ):
            out = forward(x)
        wait()
        return out

    return run
