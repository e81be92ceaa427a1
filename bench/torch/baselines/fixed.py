"""Our Faster R-CNN with guided anchoring for samples that are given, in JAX.

PyTorch's side has neither proposals nor assignment. It gets the samples that ours draws;
for equal work ours can be given them too.
"""

import jax
import jax.numpy as jnp

from tqgd_jax.baselines.zhao import rpn
from tqgd_jax.baselines.zhao.anchors import guided, squares
from tqgd_jax.baselines.zhao.deltas import RPN_STDS, encode
from tqgd_jax.baselines.zhao.location import location_loss, location_targets
from tqgd_jax.baselines.zhao.losses import bounded_iou, smooth_l1
from tqgd_jax.baselines.zhao.matching import prepared, sample
from tqgd_jax.baselines.zhao.network import TERMS, Zhao
from tqgd_jax.baselines.zhao.proposals import propose
from tqgd_jax.baselines.zhao.roi import roi_targets, roi_terms
from tqgd_jax.boxes import pairwise_iou
from tqgd_jax.losses import bce


def size_of(raw):
    """Height and width of the images."""
    h, w = raw.levels[0].shape[1:3]
    return 4 * h, 4 * w


def samples(network, raw, targets, key):
    """What `network.loss` draws with this key, as dictionaries of arrays."""
    size, labels = size_of(raw), prepared(targets)
    each = jnp.arange(len(labels.boxes))
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key, i), 3))(each)
    square = squares(size, network.base_scale)
    anchors = guided(square, raw.guides.shape)
    positive, weight = location_targets(labels, size, network.base_scale)

    def cells(key, iou, labels):
        m = rpn.match_cells(iou, labels)
        limits = {"size": rpn.SAMPLED, "max_positive": rpn.MAX_POSITIVE}
        s = sample(key, m.positive, m.negative, **limits)
        return s._asdict() | {"boxes": labels.boxes[m.label[s.at]]}

    proposals, proposed = propose(raw.guides, anchors, size, train=True)
    boxes, classes, deltas, valid = jax.vmap(roi_targets, (0, 0, 0, 0, None))(
        keys[:, 2], proposals, proposed, labels, network.num_classes
    )
    return {
        "location": positive,
        "location_weight": weight,
        "shape": jax.vmap(
            lambda k, one: cells(k, rpn.best_of_nine(square, one.boxes), one)
        )(keys[:, 0], labels),
        "score": jax.vmap(lambda k, a, one: cells(k, pairwise_iou(a, one.boxes), one))(
            keys[:, 1], anchors, labels
        ),
        "regions": {
            "boxes": boxes, "classes": classes, "deltas": deltas, "valid": valid
        },
    }  # fmt: skip


class Fixed(Zhao):
    """`views.targets` are `samples`; a prediction is of 300 boxes that are given."""

    def loss(self, variables, raw, views, key):
        """As the whole loss, without drawing."""
        del key
        given, guides = views.targets, raw.guides
        anchors = guided(squares(size_of(raw), self.base_scale), guides.shape)

        def at(x, s):
            return jnp.take_along_axis(x, s["at"][..., None], axis=1)

        def mean(values, chosen, valid):
            return jnp.where(chosen, values, 0.0).sum() / jnp.maximum(valid.sum(), 1)

        loc = location_loss(
            guides.location, given["location"], given["location_weight"]
        )
        s = given["shape"]
        shape = bounded_iou(at(anchors, s), s["boxes"]).sum(-1)
        shape = mean(shape, s["positive"], s["valid"])
        s = given["score"]
        score = jnp.take_along_axis(guides.score, s["at"], axis=1)
        score = mean(
            bce(score, s["positive"].astype("float32")), s["valid"], s["valid"]
        )
        wanted = encode(jax.lax.stop_gradient(at(anchors, s)), s["boxes"], RPN_STDS)
        delta = smooth_l1(at(guides.delta, s) - wanted, beta=1.0).sum(-1)
        delta = mean(delta, s["positive"], s["valid"])
        s = given["regions"]
        outputs = self._regions(variables, raw, s["boxes"])
        cls, box, count = jax.vmap(roi_terms)(
            *outputs, s["classes"], s["deltas"], s["valid"]
        )
        count = jnp.maximum(count.sum(), 1)
        terms = (loc, shape, score, delta, cls.sum() / count, box.sum() / count)
        return sum(terms), dict(zip(TERMS, terms, strict=True))

    def answer(self, variables, image, boxes):
        """Both stages on boxes that are given, without proposals and suppression."""
        raw = self.module.apply(variables, image, train=False)
        return raw.guides, self._regions(variables, raw, boxes)
