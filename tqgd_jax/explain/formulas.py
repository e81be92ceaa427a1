"""Where a network looked: formulas on one map and the gradient of a score by it.

Each takes the activations A_k [h w c] of one module and g = dS/dA, the gradient of the
score S of one detection, and gives a map [h w], not scaled.
docs/design/0027-gradcam.md has the readings.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

Maps = Float[np.ndarray, "h w c"]
Map = Float[np.ndarray, "h w"]


def gradcam_pp(a: Maps, g: Maps, *, signed_sum: bool = False) -> Map:
    """Grad-CAM++ in closed form (Chattopadhay et al., WACV 2018, Eqs. 10 and 19).

    With Y = exp(S) the second and third derivatives are powers of g, so
    alpha = g^2 / (2 g^2 + g^3 sum A) = 1 / (2 + g sum A), only where g > 0, since
    relu(g) follows. The common factor exp(S) is left out.

    Args:
      a: activations.
      g: gradient.
      signed_sum: the literal sum of A, where SiLU has negative values and alpha a pole
        at g = -2 / sum A; else that of relu(A), so that alpha is in (0, 1/2].
    """
    s = (a if signed_sum else np.maximum(a, 0)).sum(axis=(0, 1))
    alpha = 1 / (2 + np.maximum(g, 0) * s[None, None])
    w = (alpha * np.maximum(g, 0)).sum(axis=(0, 1))
    return np.maximum(a @ w, 0)


def gradcam(a: Maps, g: Maps) -> Map:
    """Grad-CAM: one weight a channel, the mean of g (Selvaraju et al., ICCV 2017)."""
    return np.maximum(a @ g.mean(axis=(0, 1)), 0)


def layercam(a: Maps, g: Maps) -> Map:
    """LayerCAM: a weight for each place, relu(g) (Jiang et al., TIP 2021)."""
    return np.maximum((np.maximum(g, 0) * a).sum(axis=-1), 0)


def odam(a: Maps, g: Maps, *, sigma: float = 1.0) -> Map:
    """ODAM: a weight for each place, g after a Gaussian (Zhao and Chan, ICLR 2023).

    Args:
      a: activations.
      g: gradient.
      sigma: of the Gaussian, cells of the map; 0: none.
    """
    smooth = gaussian_filter(g, (sigma, sigma, 0), mode="constant")
    return np.maximum((smooth * a).sum(axis=-1), 0)


def eigencam(a: Maps, g: Maps) -> Map:
    """Eigen-CAM: A on its first right singular vector (Muhammad and Yeasin, IJCNN 2020).

    It knows no score, so it is not of a detection. Of the two signs the one whose sum
    is positive.
    """
    flat = a.reshape(-1, a.shape[-1])
    _, _, right = np.linalg.svd(flat, full_matrices=False)
    seen = (flat @ right[0]).reshape(g.shape[:2])
    return seen if seen.sum() >= 0 else -seen


METHODS: dict[str, Callable[[Maps, Maps], Map]] = {
    "gradcam++": gradcam_pp,
    "layercam": layercam,
    "odam": odam,
    "eigencam": eigencam,
    "gradcam": gradcam,
}
NAMES = {
    "gradcam++": "Grad-CAM++",
    "layercam": "LayerCAM",
    "odam": "ODAM",
    "eigencam": "Eigen-CAM",
    "gradcam": "Grad-CAM",
}


def unit(values: Map) -> Map:
    """Least to greatest as 0 to 1; of a flat map all 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
