"""What a run's own validation counts."""

from dataclasses import replace

import numpy as np

from tests.training.tiny import config, squares
from tqgd_jax.config import Eval
from tqgd_jax.structures.dataset_index import SliceInfo
from tqgd_jax.structures.image import Image
from tqgd_jax.training import train
from tqgd_jax.training.plan import make_plan

SPACING, WHOLE = (3.0, 1.0, 1.0), (0, 0, 8, 8)


def image(name):
    none, box = np.zeros((0, 4)), np.array([[1.0, 1, 3, 3]])
    return Image(name, none, np.zeros(0, int), box, np.ones(1), np.zeros(1, int))


def test_detections_far_from_the_heart_do_not_count(monkeypatch):
    cfg = config()
    slices = [SliceInfo("a", "", z, SPACING, WHOLE, 3.0 * z) for z in range(4)]
    val = replace(squares(4), slices=slices)
    found = [image(name) for name in val.names]
    monkeypatch.setattr(train, "make_predict", lambda *_: None)
    monkeypatch.setattr(train, "make_recalibrate", lambda *_: lambda ema: ema)
    monkeypatch.setattr(train, "detect", lambda *_: found)
    monkeypatch.setattr(train, "evaluate", lambda images, _: {"images": images})
    plan = make_plan(cfg, squares(), validates=True)
    for limit, counted in ((0.0, 4), (6.0, 3), (2.0, 1)):
        some = replace(cfg, eval=Eval(beyond_heart_mm=limit))
        judged = train.validation(some, squares(), val, plan)({})["images"]
        assert sum(len(i.det_scores) for i in judged) == counted
