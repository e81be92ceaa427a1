"""A detector of hearts for `data.crop.method`, as the paper crops with YOLOv5 (§3.1).

Its boxes come from a csv (scan, z, x0, y0, x1, y1); the CT phantom writes one. After
training: `tqgd hearts --workdir RUN --data_dir DIR
--out hearts.csv`.
"""

from dataclasses import replace

from tqgd_jax.config import Augment, Config, Crop, Data, Loss, Model, Optim, Train


def get_config() -> Config:
    """YOLOv5n on whole slices at 128 px: a heart is large."""
    return replace(
        Config(),
        model=Model(size="n", stem="conv", neck=("pan",)),
        data=Data(
            classes=("heart",),
            boxes="heart_boxes.csv",
            crop=Crop(method="none"),
            hold_out=0.15,
            pad_value=0.0,
            image_size=128,
            batch_size=8,
        ),
        augment=Augment(mosaic=0.0, flip=0.0),  # a heart lies on the left
        # YOLOv5 scales objectness with the area of the image; at 128 px little is left
        loss=Loss(obj=10.0),
        optim=Optim(ema_tau=200.0),
        train=Train(epochs=15, eval_every=0),
    )
