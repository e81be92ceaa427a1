"""A competitor of Table 1: Faster R-CNN with guided anchoring (Zhao et al., 2020).

What the paper leaves open: docs/design/0029-zhao.md.
"""

from dataclasses import replace

from tqgd_jax.config import Baseline, Config, Data, Optim


def get_config() -> Config:
    """The data of `configs/tqgdnet.py`; R-50 from scratch, so with group norm."""
    return replace(
        Config(),
        baseline=Baseline(family="zhao"),
        data=Data(slices="positive"),
        optim=Optim(
            lr=0.005,
            schedule="steps",
            momentum=0.9,
            nesterov=False,
            warmup_epochs=0.0,
            warmup_min_steps=500,
            warmup_momentum=0.9,
            warmup_bias_lr=0.0,
            weight_decay=1e-4,
            decay="all",
            clip_norm=35.0,
        ),
    )
