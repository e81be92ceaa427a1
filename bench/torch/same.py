"""Our weights in PyTorch: the same graph? `python -m bench.torch.same --model tqgdnets`.

Copies parameters and (random) batch statistics of our network into `bench.torch.model`
and compares raw outputs in evaluation, fused and not, and loss and gradient norm of a
training step, both sides in float32.
"""

import numpy as np

from bench import flags, scans, tables

PAN = {
    "l5": "lateral5", "t4": "down4", "l4": "lateral4", "t3": "down3",
    "s3": "stride4", "o4": "up4", "s4": "stride5", "o5": "up5",
}  # fmt: skip
COLUMNS = {
    "what": ("what", "{}"),
    "difference": ("largest difference", "{:.2e}"),
    "of": ("of at most", "{:.3g}"),
    "relative": ("relative", "{:.1e}"),
}
LIMIT = 1e-3  # relative; float32 sums of a hundred layers in another order


def pairs(net):
    """(PyTorch module, path in our tree) of every convolution, block and head."""
    listed = []

    def conv(module, *path):
        listed.append((module.conv, (*path, "conv")))
        listed.append((module.bn, (*path, "bn")))

    def c3(module, *path):
        for name in ("a", "b", "out"):
            conv(getattr(module, name), *path, name)
        for i, m in enumerate(module.m):
            conv(m[0], *path, f"m{i}", "conv1")
            conv(m[1], *path, f"m{i}", "conv2")

    def rep(module, *path):
        for ours, theirs in (("3", module.k3), ("1", module.k1)):
            listed.append((theirs.conv, (*path, f"conv{ours}")))
            listed.append((theirs.bn, (*path, f"bn{ours}")))
        listed.append((module.bn, (*path, "bn0")))

    body = "backbone"
    conv(net.p1, body, "p1")
    conv(net.p2, body, "p2")
    c3(net.b2, body, "c3_2")
    for n, part in ((3, net.b3), (4, net.b4), (5, net.b5)):
        conv(part[0], body, f"p{n}")
        c3(part[1], body, f"c3_{n}")
    conv(net.b5[2].a, body, "sppf", "in")
    conv(net.b5[2].out, body, "sppf", "out")
    for n, thr in ((1, net.thr1), (2, net.thr2)):
        for ours, theirs in zip(
            ("conv1", "conv2", "conv3"), thr.children(), strict=False
        ):
            conv(theirs, body, f"thr_p{n}", ours)
    for stage in net.neck:
        kind = type(stage).__name__
        if kind == "Pan":
            for theirs, ours in PAN.items():
                put = c3 if theirs[0] in "to" else conv
                put(getattr(stage, theirs), "pan", ours)
        elif kind == "Queen":
            for name, node in stage.nodes.items():
                c3(node, "queen", name)
        else:
            conv(stage.embed, "gd", "embed")
            for i, block in enumerate(stage.fuse):
                rep(block, "gd", f"fuse{i}")
            for i in range(3):
                into = ("gd", f"inject{i + 3}")
                conv(stage.local[i], *into, "local")
                conv(stage.gate[i], *into, "act")
                conv(stage.shift[i], *into, "embed")
                rep(stage.rep[i], *into, "rep0")
    return listed


def copy_weights(variables, net):
    """Our variables into the PyTorch network; complains about one that is left over."""
    import torch

    params, stats = variables["params"], variables["batch_stats"]
    used = 0

    def put(parameter, array):
        nonlocal used
        used += array.size
        parameter.data.copy_(torch.from_numpy(np.array(array)))

    def at(tree, path):
        for name in path:
            tree = tree[name]
        return tree

    for module, path in pairs(net):
        ours = at(params, path)
        if "kernel" in ours:
            put(module.weight, ours["kernel"].transpose(3, 2, 0, 1))
            continue
        put(module.weight, ours["scale"])
        put(module.bias, ours["bias"])
        put(module.running_mean, at(stats, path)["mean"])
        put(module.running_var, at(stats, path)["var"])
    for n, head in zip((3, 4, 5), net.head, strict=True):
        put(head.weight, params["head"][f"p{n}"]["kernel"].transpose(3, 2, 0, 1))
        put(head.bias, params["head"][f"bias{n}"])
    total = sum(v.numel() for v in net.state_dict().values() if v.is_floating_point())
    if used != total:
        raise ValueError(f"{used:,} of PyTorch's {total:,} values were copied")


def variables_of(cfg, seed=0):
    """First parameters, and batch statistics that are not 0 and 1."""
    import jax

    from tqgd_jax.network import build
    from tqgd_jax.training.state import create

    state = create(build(cfg, 1), cfg)
    rng = np.random.default_rng(seed)

    def draw(path, x):
        low, high = (0.5, 1.5) if path[-1].key == "var" else (-0.2, 0.2)
        return rng.uniform(low, high, x.shape).astype(np.float32)

    stats = jax.tree.map_with_path(draw, state.batch_stats)
    return state, {"params": state.params, "batch_stats": stats}


def compare(model, size, batch):
    """Rows of differences."""
    import jax
    import torch

    from bench.speed import ours
    from bench.speed.network import batch_of
    from bench.torch import theirs
    from bench.torch.model import build, fuse
    from tqgd_jax.detector import Detector

    theirs.set_precision("fp32")
    cfg = scans.config(model, size, batch)
    images, boxes, valid = batch_of(size, batch)
    state, variables = variables_of(cfg)
    net = build(model).to(theirs.device())
    copy_weights(variables, net)
    network = Detector(cfg.model, 1)
    mine = jax.jit(lambda v, x: network.apply(v, x, train=False))(variables, images)
    rows = []
    for what, other in (("evaluation", net.eval()), ("deployed", fuse(net))):
        with torch.no_grad():
            out = other(theirs.tensor(images, True))
        out = [x.permute(0, 2, 3, 1, 4).cpu().numpy() for x in out]
        gap = max(np.abs(a - b).max() for a, b in zip(mine, out, strict=True))
        rows.append((f"raw output, {what}", gap, max(np.abs(x).max() for x in out)))
    copy_weights({"params": state.params, "batch_stats": state.batch_stats}, net)
    step = theirs.TrainStep(net, images, boxes, valid, precision="fp32", last=True)
    metrics = ours.TrainStep(cfg, ours.views_of(images, boxes, valid)).metrics
    for what, value in step.metrics.items():
        rows.append((f"training step, {what}", abs(metrics[what] - value), abs(value)))
    return [
        {"what": w, "difference": float(d), "of": float(m), "relative": float(d / m)}
        for w, d, m in rows
    ]


def main(argv=None):
    """Prints the differences; ends with an error when one is too large."""
    args = flags.parser(
        __doc__, model="yolov5s", size=128, batch=2, json=None
    ).parse_args(argv)
    differences = compare(args.model, args.size, args.batch)
    rows = [{"model": args.model} | row for row in differences]
    tables.finish(rows, {"model": ("model", "{}")} | COLUMNS, args.json)
    if max(row["relative"] for row in rows) > LIMIT:
        raise SystemExit(f"not the same graph: a relative difference above {LIMIT}")


if __name__ == "__main__":
    main()
