"""Competitors with our weights in PyTorch: `python -m bench.torch.baselines.same`.

Parameters and statistics are drawn anew, so that no layer idles, and copied. Compared are
raw outputs in evaluation and in training, the terms of the loss and the gradient of each
parameter, in float32. Zhao: also the second stage on boxes; the loss on our samples.
"""

import math

import numpy as np

from bench import flags, rivals, tables

COLUMNS = {
    "model": ("model", "{}"),
    "what": ("what", "{}"),
    "difference": ("largest difference", "{:.2e}"),
    "of": ("of at most", "{:.3g}"),
    "relative": ("relative", "{:.1e}"),
}
LIMIT = 1e-3  # relative; float32 sums of many layers in another order
# Of one parameter: a ReLU or a maximum that rounding decides is another gradient.
LIMIT_OF_WORST = 0.05
WORST = "gradient, worst: "


def drawn(variables, seed=0):
    """Values by which each layer's output is of the order of its input."""
    import jax

    rng = np.random.default_rng(seed)

    def draw(path, x):
        name, layer = path[-1].key, path[-2].key
        if name in ("var", "scale"):
            return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
        if name == "kernel":
            gain = 1.0 if layer in ("shape", "location") else 2.0
            std = math.sqrt(gain / math.prod(x.shape[:-1]))
            return rng.normal(0, std, x.shape).astype(np.float32)
        return rng.uniform(-0.2, 0.2, x.shape).astype(np.float32)

    return jax.tree.map_with_path(draw, variables)


def numpy(x):
    """A PyTorch map as ours: channels last."""
    x = x.detach().cpu().numpy()
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def gap(what, ours, theirs):
    """A row."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise SystemExit(f"{what}: {ours.shape} here, {theirs.shape} in PyTorch")
    difference, of = np.abs(ours - theirs).max(), np.abs(theirs).max()
    relative = difference / max(of, 1e-30)
    row = {"difference": difference, "of": of, "relative": relative}
    return {"what": what} | {k: float(v) for k, v in row.items()}


def outputs(raw):
    """Raw outputs of either side by name."""
    if hasattr(raw, "guides"):
        levels = {f"P{n}": x for n, x in enumerate(raw.levels, 2)}
        return levels | raw.guides._asdict()
    if isinstance(raw, dict) and "guides" in raw:
        levels = {f"P{n}": numpy(x) for n, x in enumerate(raw["levels"][:4], 2)}
        return levels | {k: numpy(x) for k, x in raw["guides"].items()}
    if isinstance(raw, dict):
        return {k: numpy(x) if hasattr(x, "detach") else x for k, x in raw.items()}
    return {"logits": numpy(raw) if hasattr(raw, "detach") else raw}


def targets_of(network, raw, views, key):
    """What PyTorch's loss is to answer."""
    from tqgd_jax.baselines.foellmer.regions import region_labels

    if not network.segments:
        return network.samples(raw, views.targets, key)
    made = {"lesion": views.lesion}
    if getattr(network.module, "regions", False):
        made["region"] = region_labels(views.lesion, 3, network.region_px)
    return made


def ours(network, variables, views):
    """Evaluation, training, terms, gradients and targets, compiled as one."""
    import jax

    def whole(variables, views, key):
        def objective(params):
            now = variables | {"params": params}
            raw, _ = network.module.apply(
                now, views.image, train=True, mutable=["batch_stats"],
                rngs={"dropout": key},
            )  # fmt: skip
            loss, terms = network.loss(now, raw, views, key)
            return loss, (terms, raw)

        evaluated = network.module.apply(variables, views.image, train=False)
        (loss, (terms, raw)), grads = jax.value_and_grad(objective, has_aux=True)(
            variables["params"]
        )
        targets = targets_of(network, raw, views, key)
        second = None
        if not network.segments:
            second = network.regions(variables, evaluated, targets.regions.boxes)
        return evaluated, raw, loss, terms, grads, targets, second

    return jax.jit(whole)(variables, views, jax.random.key(1))


def as_batch(tree):
    """Arrays as tensors; whole numbers as PyTorch's indices."""
    import jax
    import torch

    from bench.torch import theirs

    def tensor(x):
        x = torch.from_numpy(np.array(x))
        return (x.long() if x.dtype == torch.int32 else x).to(theirs.device())

    return jax.tree.map(tensor, tree)


def compare(name, size, batch, width):
    """Rows of differences."""
    from dataclasses import replace

    import jax
    import torch

    from bench.torch import theirs
    from bench.torch.baselines import build, weights
    from tqgd_jax import network as networks
    from tqgd_jax.structures.batch import Targets, Views

    theirs.set_precision("fp32")
    cfg = rivals.config(name, size, batch, width)
    still = replace(cfg.baseline.foellmer, dropout=0.0, least_side=256)
    if cfg.baseline.family == "foellmer":  # no two libraries drop the same
        cfg = replace(cfg, baseline=replace(cfg.baseline, foellmer=still))
    classes = len(cfg.data.classes)
    network = networks.build(cfg, classes)
    variables = drawn(network.init(0))
    channels = cfg.model.in_channels
    images, boxes, lesion = rivals.batch_of(size, batch, classes, channels)
    views = Views(images, Targets(*boxes), lesion if network.segments else None)
    evaluated, trained, loss, terms, grads, targets, second = jax.device_get(
        ours(network, variables, views)
    )
    net = build(cfg, classes).to(theirs.device())
    weights.copy(net, variables)
    x, given = theirs.tensor(images, False), as_batch(targets)
    rows = []
    with torch.no_grad():
        raw = net.eval()(x)
        for part, value in outputs(raw).items():
            rows.append(gap(f"evaluation, {part}", outputs(evaluated)[part], value))
        if second is not None:
            regions = net.regions(raw, given.regions.boxes)
            for part, a, b in zip(("classes", "deltas"), second, regions, strict=True):
                rows.append(gap(f"second stage, {part}", a, b.cpu().numpy()))
    raw = net.train()(x)
    for part, value in outputs(raw).items():
        rows.append(gap(f"training, {part}", outputs(trained)[part], value))
    losses = net.loss(raw, given)
    total = sum(losses.values())
    total.backward()
    if "uncertainty" not in variables["params"]:  # there ours gives unweighted terms
        rows += [gap(f"loss, {k}", terms[k], v.item()) for k, v in losses.items()]
    rows.append(gap("loss", loss, total.item()))
    rows += gradients(net, grads)
    return [{"model": name} | row for row in rows]


def gradients(net, grads):
    """The whole, and the parameter whose gradient differs most for its length."""
    from bench.torch.baselines import weights

    mine = dict(weights.places(net, grads))
    other = {
        k: np.zeros(p.shape) if p.grad is None else p.grad.cpu().numpy()
        for k, p in net.named_parameters()
    }
    if mine.keys() != other.keys():
        raise SystemExit(f"parameters differ: {mine.keys() ^ other.keys()}")
    length = {k: np.linalg.norm(g) for k, g in other.items()}
    apart = {k: np.linalg.norm(mine[k] - g) for k, g in other.items()}
    d, g = (float(np.linalg.norm(list(x.values()))) for x in (apart, length))
    yield {"what": "gradient", "difference": d, "of": g, "relative": d / g}
    # A bias before batch norm has a gradient of nothing but rounding.
    shares = {k: apart[k] / n for k, n in length.items() if n > 1e-4 * g}
    worst = max(shares, key=shares.__getitem__)
    row = {"difference": apart[worst], "of": length[worst], "relative": shares[worst]}
    yield {"what": WORST + worst} | {k: float(v) for k, v in row.items()}


def main(argv=None):
    """Prints the differences; ends with an error when one is too large."""
    parser = flags.parser(__doc__, size=64, batch=2, json=None)
    parser.add_argument("--family", nargs="*", default=list(rivals.RIVALS))
    parser.add_argument("--width", type=float, default=0.125)
    args = parser.parse_args(argv)
    rows = []
    for name in rivals.named(args.family):
        rows += compare(name, args.size, args.batch, args.width)
        print(tables.markdown(rows[-2:], COLUMNS), flush=True)
    tables.finish(rows, COLUMNS, args.json)
    wrong = [
        f"{row['model']}: {row['what']}"
        for row in rows
        if row["relative"]
        > (LIMIT_OF_WORST if row["what"].startswith(WORST) else LIMIT)
    ]
    if wrong:
        raise SystemExit(f"not the same graph: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
