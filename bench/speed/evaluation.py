"""Evaluation with NMS: `python -m bench.speed.evaluation --model tqgdnets --batch 8`.

Images a second of `inference.detect` (loading from memory, transfer, letterbox, deployed
network, decoding, NMS, boxes back in native pixels), and what decoding and NMS take of
`make_predict`: the same function without them is timed beside it. The weights are the
first ones, whose objectness lies just above `eval.min_score`, so nearly every cell is a
candidate: NMS has the most to do that it can have.
"""

import os

from bench import flags, scans, tables
from bench.timing import medians_ms

COLUMNS = tables.RUN | {
    "images_per_s": ("images/s", "{:.1f}"),
    "detect_ms": ("ms a batch", "{:.1f}"),
    "predict_ms": ("of it on the device", "{:.1f}"),
    "nms_ms": ("of that decoding, NMS", "{:.1f}"),
    "nms_share": ("share", "{:.0%}"),
    "candidates": ("candidates an image", "{:.0f}"),
    "detections": ("kept", "{:.0f}"),
}


def measure(args):
    """The row of a model."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from bench.speed import ours
    from tqgd_jax import inference
    from tqgd_jax.augment import letterbox
    from tqgd_jax.data.dataset import load
    from tqgd_jax.network import build
    from tqgd_jax.training.state import create
    from tqgd_jax.xla import compiler_options

    cfg = scans.config(args.model, args.size, args.batch, args.precision)
    source = scans.source(args.batch, args.size)
    detector = build(cfg, 1).module
    state = create(build(cfg, 1), cfg)
    variables = jax.device_put(
        {"params": state.params, "batch_stats": state.batch_stats}
    )
    predict = inference.make_predict(cfg, 1, ours.boxes_of(cfg))

    def without(variables, batch):
        views = letterbox(batch, data=cfg.data, channels=cfg.model.in_channels)
        network, deployed = detector.deployed(dict(variables))
        return network.apply(deployed, views.image, train=False)

    raw = jax.jit(without, compiler_options=compiler_options())
    host = load(source, np.arange(args.batch, dtype=np.int32)[:, None])
    batch = jax.tree.map(jnp.asarray, host)
    scores = [
        jax.nn.sigmoid(x[..., 4]) * jax.nn.sigmoid(x[..., 5])
        for x in raw(variables, batch)
    ]
    above = sum(int((x > cfg.eval.min_score).sum()) for x in scores)
    detections = int(predict(variables, batch).valid.sum())
    calls = {
        "detect": lambda: inference.detect(
            predict, variables, iter([load(source, host.index)]), source.names
        ),
        "predict": lambda: jax.block_until_ready(predict(variables, batch)),
        "raw": lambda: jax.block_until_ready(raw(variables, batch)),
    }
    ms = medians_ms(calls, args.rounds, 2, args.seconds)
    nms = ms["predict"] - ms["raw"]
    return {
        "images_per_s": 1e3 * args.batch / ms["detect"],
        "detect_ms": ms["detect"],
        "predict_ms": ms["predict"],
        "nms_ms": nms,
        "nms_share": nms / ms["predict"],
        "candidates": above / args.batch,
        "detections": detections / args.batch,
    }


def main(argv=None):
    """Prints the row."""
    args = flags.parser(
        __doc__, model="yolov5s", precision="fp32", size=640, batch=8, rounds=10,
        seconds=20, json=None,
    ).parse_args(argv)  # fmt: skip
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    row = {name: getattr(args, name) for name in tables.RUN}
    tables.finish([tables.attempt(row, measure, args)], COLUMNS, args.json)


if __name__ == "__main__":
    main()
