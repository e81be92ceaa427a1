"""Our Faster R-CNN with guided anchoring for samples that are given, in JAX.

PyTorch's side has neither proposals nor assignment. It gets the samples that ours draws;
for equal work ours can be given them too.
"""

from tqgd_jax.baselines.zhao.network import Zhao


class Fixed(Zhao):
    """`views.targets` are `samples`; a prediction is of 300 boxes that are given."""

    def loss(self, variables, raw, views, key):
        """As the whole loss, without drawing."""
        del key
        return self.terms(variables, raw, views.targets)

    def answer(self, variables, image, boxes):
        """Both stages on boxes that are given, without proposals and suppression."""
        raw = self.module.apply(variables, image, train=False)
        return raw.guides, self.regions(variables, raw, boxes)
