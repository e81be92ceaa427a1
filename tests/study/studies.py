"""A study on disk whose runs are done: invented detections in slices that can be seen."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.report.studies import study as evaluation_set
from tests.report.studies import undrawn
from tqgd_jax.config import Config
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder
from tqgd_jax.study import study_file
from tqgd_jax.study.design import DataSet, Row, Study

FOLDS = 2


def write(root: Path, data: Path, rows: tuple[str, ...] = ("base", "a_b")) -> Study:
    """Writes a study of two folds, and PNG of its slices into `data`.

    Folds differ in patients, rows in confidences: so in what is above the threshold.
    """
    study = Study(
        base=Config(),
        rows=tuple(
            Row(r, f"{r} & 50 %", {}, tables=(1, 4) if r == rows[0] else (1,))
            for r in rows
        ),
        data=(DataSet("ct", {"data.dir": str(data)}, folds=FOLDS),),
        reference=rows[0],
    )
    study_file.write(study, root)
    data.mkdir(exist_ok=True)
    for cell in study.cells(root):
        fold = str(cell.fold)
        made, pixels = evaluation_set(
            fold=fold, seed=cell.fold, one_fold=f"fold {fold} of {FOLDS}"
        )
        rng = np.random.default_rng((cell.fold, rows.index(cell.row)))
        images = tuple(
            image._replace(det_scores=rng.random(len(image.det_scores)))
            for image in made.images
        )
        for k, image in enumerate(images):
            grey = np.clip(pixels(k)[..., 0] // 4, 0, 255).astype(np.uint8)
            Image.fromarray(grey).save(data / f"{image.name}.png")
        with undrawn():
            result_folder.make(
                root / cell.name / "eval-test",
                made._replace(images=images),
                EvaluationSettings(bootstraps=20),
            )
    return study
