"""Zhao et al. (2020): Faster R-CNN whose region proposals come from guided anchors.

The paper's text gives neither backbone nor settings; this is Wang et al.'s guided
anchoring (CVPR 2019) as in mmdetection's `ga-faster-rcnn_r50_fpn_1x`, with squares that
fit lesions.
"""

from tqgd_jax.baselines.zhao.module import GuidedFasterRCNN
from tqgd_jax.baselines.zhao.network import Zhao
from tqgd_jax.config import Config


def build(config: Config, num_classes: int, axis_name: str | None = None) -> Zhao:
    """The network of a run, see `tqgd_jax.network.Network`."""
    baseline, zhao = config.baseline, config.baseline.zhao
    module = GuidedFasterRCNN(
        depth=zhao.depth,
        channels=zhao.channels,
        hidden=zhao.hidden,
        num_classes=num_classes,
        norm=zhao.norm or ("batch" if baseline.weights else "group"),
        adaption=zhao.adaption,
        width=baseline.width,
        precision=config.model.precision,
        axis_name=axis_name,
    )
    return Zhao(
        module,
        zhao.base_scale,
        config.model.in_channels,
        config.eval,
        baseline.weights,
    )
