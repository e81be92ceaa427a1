"""The built-in demonstration: a small TQGDNet on simulated CT (`make demo`).

It shows that the path from scan to boxes works and learns. The patients are simulated
(docs/phantom.md): its figures say nothing about real calcium, nor about the paper's.
"""

from dataclasses import replace

from tqgd_jax.config import Augment, Config, Crop, Data, Loss, Model, Optim, Train


def get_config() -> Config:
    """Size n, 1x1 stem, heads on P2 and P3: learns lesions of 6 px in minutes on a CPU.

    What differs from the paper's recipe is there for speed: a cardiac window instead of
    [-1200, 1800] HU, no mosaic, higher gains and learning rate, 22 epochs.
    """
    return replace(
        Config(),
        model=Model(size="n", stem="thr:snapshot", heads=(2, 3)),
        data=Data(
            dir="runs/phantom-gated",
            slices="positive",
            hold_out=0.15,
            crop=Crop(margin_mm=5.0),
            window=(-150.0, 750.0),
            pad_value=0.0,
            image_size=256,
        ),
        # YOLOv5 scales objectness with the area of the image; at 256 px little is left
        loss=Loss(obj=60.0, box=0.4),
        augment=Augment(mosaic=0.0, scale=0.2, value=0.1),
        optim=Optim(
            lr=0.03, lr_end=0.003, clip_norm=20.0, warmup_min_steps=50, ema_tau=100.0
        ),
        train=Train(epochs=22, eval_every=0, checkpoint_every=22),
    )
