"""Training is tested on a network that compiles quickly."""

import pytest

from tqgd_jax import detector


@pytest.fixture(scope="module", autouse=True)
def shallow():
    """One bottleneck a block: the rules are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(detector.SIZES, "n", detector.Size(0.01, 0.25, 64))
        yield
