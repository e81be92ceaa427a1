"""What a network sees of lesions, checkpoint by checkpoint: why a stem does not learn.

`python -m bench.studies.lesion_signal --workdir RUN [RUN ...]`

Twelve training slices go through the network twice, as they are and with each lesion
painted over by the median of its surroundings. The signal of a layer is the largest
difference of its features near a lesion (root mean square over channels), median over
lesions, in standard deviations of that layer's features. `blur` is the share of a
ThrConvs kernel's energy that all taps have in common, its first value 1 / k^2.
"""

from pathlib import Path

import jax
import numpy as np

from bench import flags, tables

SLICES = 12
LAYERS = (
    *(("backbone", name) for name in ("p1", "thr_p1", "p2", "thr_p2", "c3_2", "c3_3")),
    *(("queen", "q3"), ("gd", "inject3")),
)
COLUMNS = (
    {"run": ("run", "{}"), "step": ("step", "{}")}
    | {name: (name, "{:.3f}") for _, name in LAYERS}
    | {"blur": ("blur of conv1, conv2, conv3 at p1 (1 / k²: .016 .007 .016)", "{}")}
)


def painted_over(image, boxes):
    """A copy of an image without its lesions.

    Args:
      image: h x w x c.
      boxes: px edges.
    """
    image = image.copy()
    for x0, y0, x1, y1 in boxes:
        left, top, right, bottom = int(x0) - 1, int(y0) - 1, int(x1) + 2, int(y1) + 2
        top, left = max(top, 0), max(left, 0)
        rows = slice(top, bottom)
        beside = [image[rows, max(left - 3, 0) : left], image[rows, right : right + 3]]
        image[rows, left:right] = np.median(np.concatenate(beside, axis=1))
    return image


def slices(config):
    """Network inputs, the same without lesions, and (image, x, y) of each lesion."""
    from tqgd_jax.augment import letterbox
    from tqgd_jax.data import dataset
    from tqgd_jax.data.open import open_data

    train = open_data(config)["train"]
    batch = dataset.load(train, np.arange(SLICES, dtype=np.int32)[:, None])
    views = letterbox(
        jax.tree.map(np.asarray, batch),
        data=config.data,
        channels=config.model.in_channels,
    )
    image, boxes = np.asarray(views.image), np.asarray(views.targets.boxes)
    real = np.asarray(views.targets.valid)
    without = np.stack(
        [painted_over(x, b[v]) for x, b, v in zip(image, boxes, real, strict=True)]
    )
    places = [
        (k, *(b[:2] + b[2:]) / 2) for k, m in np.argwhere(real) for b in [boxes[k, m]]
    ]
    return image, without, places


def signal(seen, erased, places, size):
    """Of one layer, see the module."""
    stride = size // seen.shape[1]
    change = np.sqrt(((seen - erased) ** 2).mean(-1))
    spread = np.sqrt(seen.var((0, 1, 2)).mean())
    peaks = []
    for k, x, y in places:
        row, column = int(y / stride), int(x / stride)
        near = change[k, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        peaks.append(near.max())
    return float(np.median(peaks) / spread)


def common_energy(kernel):
    """Share of a kernel's energy that lies in the mean over its taps."""
    taps = kernel.shape[0] * kernel.shape[1]
    return float((kernel.sum((0, 1)) ** 2).sum() / (taps * (kernel**2).sum()))


def rows_of(folder):
    """A row for the first weights and for each checkpoint."""
    from tqgd_jax.network import build
    from tqgd_jax.training import state
    from tqgd_jax.training.records import workdir
    from tqgd_jax.training.records.checkpoint import Checkpoints

    config, run = workdir.read(folder)
    network = build(config, len(run["classes"]))
    image, without, places = slices(config)

    @jax.jit
    def features(variables, x):
        _, collections = network.module.apply(
            variables,
            x,
            train=True,  # the batch's own statistics
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda module, _: module.path in LAYERS,
        )
        return collections["intermediates"]

    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    first = state.create(network, config)
    for step in (0, *checkpoints.steps()):
        now = first if step == 0 else checkpoints.restore(first, step)[0]
        variables = {"params": now.params, "batch_stats": now.batch_stats}
        seen, erased = features(variables, image), features(variables, without)
        row = {"run": folder.name, "step": step}
        for part, name in LAYERS:
            if name in seen.get(part, {}):
                pair = (
                    np.asarray(x[part][name]["__call__"][0]) for x in (seen, erased)
                )
                row[name] = signal(*pair, places, config.data.image_size)
        block = now.params["backbone"].get("thr_p1")
        if block:
            kernels = (block[f"conv{i}"]["conv"]["kernel"] for i in (1, 2, 3))
            row["blur"] = " ".join(f"{common_energy(k):.3f}" for k in kernels)
        yield row


def main():
    """Prints the table."""
    parser = flags.parser(__doc__)
    parser.add_argument("--workdir", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    tables.finish([row for folder in args.workdir for row in rows_of(folder)], COLUMNS)


if __name__ == "__main__":
    main()
