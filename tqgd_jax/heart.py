"""Finds the heart in CT scans with a trained detector, for `data.crop.method=FILE.csv`.

python -m tqgd_jax.heart --workdir RUN --data_dir DIR --out hearts.csv

RUN is a run of `configs/heart.py`, whose one class is the heart (§3.1: the paper crops
with a YOLOv5 detector of hearts). The best box of each slice is kept; a slice without
one at or above the threshold has no row, and its crop is the nearest slice's.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import Int16

from tqgd_jax import cli
from tqgd_jax.types import Batch


def batches(hu: Int16[np.ndarray, "z y x"], batch: int) -> Iterator[Batch]:
    """The slices of a scan as network batches; empty images fill the last."""
    depth, h, w = hu.shape
    for start in range(0, depth, batch):
        image = np.zeros((batch, 1, h, w, 1), np.int16)
        part = hu[start : start + batch]
        image[: len(part), 0, :, :, 0] = part
        yield Batch(
            image=image,
            size=np.tile(np.array([h, w], np.int32), (batch, 1, 1)),
            boxes=np.zeros((batch, 1, 1, 4), np.float32),
            labels=np.zeros((batch, 1, 1), np.int32),
            valid=np.zeros((batch, 1, 1), np.bool_),
            index=np.arange(start, start + batch, dtype=np.int32)[:, None],
        )


def main(_: list[str]) -> None:
    """Weights, scans, best box of each slice, csv."""
    import jax
    from tqdm import tqdm

    from tqgd_jax.data import cohort, command, heart, volumes
    from tqgd_jax.detector import Detector
    from tqgd_jax.inference import make_predict
    from tqgd_jax.training import compilations, state, workdir
    from tqgd_jax.training.checkpoint import Checkpoints

    compilations.use_cache()
    folder, out = Path(WORKDIR.value or ""), Path(OUT.value or "").expanduser()
    config, run = workdir.read(folder)
    if len(run["classes"]) != 1 or config.data.neighbours:
        raise ValueError(
            f"{folder} detects {run['classes']} with {config.data.channels} channels; a "
            "heart detector has one class and one slice (configs/heart.py)"
        )
    data = replace(config.data, dir=DATA.value, format="auto", boxes="")
    found = cohort.find(data, masks=False)
    if found is None:
        raise ValueError(f"--data_dir={DATA.value!r}: no folder of CT scans")
    command.make_room(out)
    detector = Detector(config.model, 1)
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    now, meta = checkpoints.restore(state.create(detector, config))
    checkpoints.close()
    least = MIN_SCORE.value
    if least is None:
        least = meta.get("threshold") or 0.25
    anchors = np.array(run["anchors"], np.float32)
    predict = functools.partial(make_predict(detector, config, anchors), now.ema)
    rows: list[heart.BoxRow] = []
    without = []
    for study in tqdm(found.studies, "find hearts", unit="scan"):
        hu = volumes.read_volume(study.path, series=study.series).hu
        before = len(rows)
        for batch in batches(hu, config.eval.batch_size):
            best = jax.tree.map(lambda a: np.asarray(a[:, 0]), predict(batch))
            for k, z in enumerate(np.asarray(batch.index)[:, 0].tolist()):
                if z < len(hu) and best.valid[k] and best.scores[k] >= least:
                    x0, y0, x1, y1 = best.boxes[k].tolist()
                    rows.append((study.scan, z, x0, y0, x1, y1))
        without += [study.scan] if len(rows) == before else []
    heart.write_boxes(out, rows)
    print(f"{out}: {len(rows)} slices with a heart, score >= {least:.3f}")
    if without:
        print(
            f"no heart found in {len(without)} scans: {', '.join(without[:8])}. A crop "
            "by this file needs a row for each scan: add one by hand, or lower "
            "--min_score"
        )


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "run of configs/heart.py")
    DATA = flags.DEFINE_string("data_dir", None, "folder of CT scans")
    OUT = flags.DEFINE_string("out", None, "csv to write")
    MIN_SCORE = flags.DEFINE_float(
        "min_score", None, "least confidence [the run's threshold, else 0.25]"
    )
    flags.mark_flags_as_required(["workdir", "data_dir", "out"])
    cli.run(main)
