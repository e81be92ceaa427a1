"""The detector that ships, trained on the phantom's preset `diverse` alone.

`make weights` makes it again; docs/shipped.md says what it finds. It has seen no patient
(docs/phantom.md, docs/design/0036-diverse-phantom.md).
"""

from dataclasses import replace

from tqgd_jax.config import Augment, Config, Crop, Data, Eval, Loss, Model, Optim, Train


def get_config() -> Config:
    """As `configs/demo.py`, on all slices: what is no calcium must be learnt, too.

    Offsets, noise and gains of grey values stand for scanners that the phantom lacks.
    """
    return replace(
        Config(),
        model=Model(size="n", stem="thr:snapshot", neck=("pan",), heads=(2, 3)),
        data=Data(
            dir="runs/phantom-diverse",
            split="ratio",
            ratio=(0.88, 0.06, 0.06),
            backgrounds=1.0,
            batch_size=8,
            placement="stream",
            crop=Crop(margin_mm=10.0),
            window=(-150.0, 750.0),
            pad_value=0.0,
            image_size=256,
        ),
        loss=Loss(obj=60.0, box=0.4),  # as in the demonstration
        augment=Augment(mosaic=0.0, scale=0.3, value=0.15, offset=0.03, noise=0.02),
        optim=Optim(
            lr=0.03,
            lr_end=0.0003,
            clip_norm=20.0,
            warmup_epochs=1.0,
            ema_decay=0.9995,
            ema_tau=400.0,
        ),
        eval=Eval(beyond_heart_mm=10.0, nms_iou=0.3),
        train=Train(epochs=22, eval_every=0, checkpoint_every=2),
    )
