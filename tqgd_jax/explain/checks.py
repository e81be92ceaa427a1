"""Whether a map can be trusted: what it must do if it shows what the network used.

Adebayo et al., Sanity Checks for Saliency Maps, 2018; Petsiuk et al., RISE, 2018.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from tqgd_jax.augment_geometry import letterbox_geometry
from tqgd_jax.explain.explanation import Candidates, Explainer, Explanation, raw_map

MARGIN = 8  # network px around a box: a cell of P3, whatever module is read
STEPS = 8  # of deletion and insertion
REACH = 3  # cells of shift that are looked at
SEED = 1  # of the random weights

Plane = Float[np.ndarray, "h w"]
Boxes = Float[np.ndarray, "n 4"]


class Curves(NamedTuple):
    """Areas under the score while pixels go or come, the highest of the map first.

    Attributes:
      deletion: a good map takes the score away early, so a small area is good.
      insertion: a large area is good.
    """

    deletion: float
    insertion: float


class Shift(NamedTuple):
    """The image moved by one cell to the right; the map should too.

    Attributes:
      cells: (y, x) by which the map moved, as far as `REACH` and a quarter of the map.
      correlation: of both maps at that place.
    """

    cells: tuple[int, int]
    correlation: float


def energy_share(of: Plane, boxes: Boxes, margin: float) -> float | None:
    """The share of a map's sum inside boxes; None for an empty map or no boxes.

    Args:
      of: at least 0, px of the image.
      boxes: (x0, y0, x1, y1), px of the image.
      margin: px by which they are dilated on each side.
    """
    if not of.any() or not len(boxes):
        return None
    y, x = (np.arange(n) + 0.5 for n in of.shape)
    inside = np.zeros(of.shape, bool)
    for x0, y0, x1, y1 in boxes + margin * np.array([-1, -1, 1, 1]):
        inside |= ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None]
    return float(of[inside].sum() / of.sum())


def centred_gaussian(size: tuple[int, int]) -> Plane:
    """A map that knows nothing: a Gaussian in the middle, sigma a quarter of each side.

    A detector of heart crops finds lesions near the middle, so a share of energy means
    something only beside this one's.
    """
    y, x = (np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / 0.25) ** 2) for n in size)
    return y[:, None] * x[None]


def margin_px(explainer: Explainer, size: tuple[int, int]) -> float:
    """`MARGIN` in px of the image."""
    gain, *_ = letterbox_geometry(size, explainer.predictor.config.data.image_size)
    return MARGIN / float(gain)


def rank_correlation(a: Plane, b: Plane) -> float | None:
    """Spearman's, over all cells; None where a map is flat."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    result: Any = spearmanr(a.ravel(), b.ravel())
    return float(result.statistic)


def randomised(explainer: Explainer) -> Iterator[tuple[str, dict[str, Any]]]:
    """Weights as before training, from the head down: one part more each time.

    Yields the last part that was randomised and the variables.
    """
    predictor = explainer.predictor
    variables = {kind: dict(tree) for kind, tree in predictor.variables.items()}
    fresh = predictor.network.init(SEED, pretrained=False)
    for part, names in explainer.places.parts.items():
        for kind, tree in fresh.items():
            for name in names:
                if name in tree:
                    variables[kind][name] = jax.tree.map(jnp.asarray, tree[name])
        yield part, {kind: dict(tree) for kind, tree in variables.items()}


class Randomised(NamedTuple):
    """Rank correlations with maps of random weights; None where that map is flat.

    A map that stays as it was does not show what was learnt.

    Attributes:
      above: of the parts between the module and the score alone, so the activations are
        the trained ones.
      all: of the whole network.
      by_part: from the head down, the parts up to this one.
    """

    above: float | None
    all: float | None
    by_part: dict[str, float | None]


def randomisation(
    explainer: Explainer, of: Candidates, explanation: Explanation
) -> Randomised:
    """The map of the best box against those of random weights at the same place."""
    module = explanation.modules[0]
    own = explainer.places.part_of(module)
    by_part: dict[str, float | None] = {}
    above: float | None = None
    for part, variables in randomised(explainer):
        if part == own:
            above = next(reversed(by_part.values()), None)
        read = explainer.reading(of, 0, variables)
        other = raw_map(read, module, explanation.method)
        by_part[part] = rank_correlation(explanation.raw[0], other)
    return Randomised(above, [*by_part.values()][-1], by_part)


def shift(explainer: Explainer, of: Candidates, explanation: Explanation) -> Shift:
    """The map of the best box after the image has moved by one cell to the right.

    The score is that of the moved box in the moved image; of a detector with anchors that
    of the candidate most like it.
    """
    module, before = explanation.modules[0], explanation.raw[0]
    stride = explainer.places.side // before.shape[0]
    moved = jnp.concatenate(
        [jnp.full_like(of.pixels[:, :, :stride], fill_value(explainer)), of.pixels],
        axis=2,
    )[:, :, : of.pixels.shape[2]]
    wanted = of.network_boxes[0] + np.array([stride, 0, stride, 0], np.float32)
    programs, variables = explainer.programs, explainer.predictor.variables
    box, label = jnp.asarray(wanted), jnp.int32(of.labels[0])
    subject = programs.subject(variables, moved, box, label)
    after = programs.read(variables, moved, subject)
    return best_shift(before, raw_map(after, module, explanation.method))


def best_shift(before: Plane, after: Plane) -> Shift:
    """The offset of `after` at which it is most like `before`, and how much.

    Cells near the border are not compared: what convolutions make of the padding there
    stays where it is.
    """
    h, w = before.shape
    r = min(REACH, h // 4, w // 4)
    core = before[r : h - r, r : w - r]
    best = Shift((0, 0), -2.0)
    for dy, dx in np.ndindex(2 * r + 1, 2 * r + 1):
        moved = after[dy : dy + h - 2 * r, dx : dx + w - 2 * r]
        if np.ptp(core) == 0 or np.ptp(moved) == 0:
            continue
        correlation = float(np.corrcoef(core.ravel(), moved.ravel())[0, 1])
        if correlation > best.correlation:
            best = Shift((dy - r, dx - r), correlation)
    return best


def curves(
    score: Callable[[Float[np.ndarray, "b s s c"]], Float[np.ndarray, "b"]],
    pixels: Float[np.ndarray, "s s c"],
    order: Float[np.ndarray, "s s"],
    fill: float,
) -> Curves:
    """Deletion and insertion, over the share of pixels; steps are finer at its start.

    Args:
      score: of images.
      pixels: the network's input.
      order: the map there; equal values go in the order of rows.
      fill: value of a pixel that is not there, that of the border in training.
    """
    share = (np.arange(STEPS + 1) / STEPS) ** 2
    rank = np.empty(order.size, int)
    rank[np.argsort(-order.ravel(), kind="stable")] = np.arange(order.size)
    first = (rank.reshape(order.shape)[None] < (share * order.size)[:, None, None])[
        ..., None
    ]
    empty = np.full_like(pixels, fill)
    deleted = np.where(first, empty[None], pixels[None])
    inserted = np.where(first, pixels[None], empty[None])
    return Curves(
        *(float(np.trapezoid(score(images), share)) for images in (deleted, inserted))
    )


def deletion_insertion(
    explainer: Explainer, of: Candidates, order: Float[np.ndarray, "y x"]
) -> Curves:
    """`curves` of the confidence of the best box.

    Args:
      explainer: the network.
      of: of the image.
      order: a map of cells of the network's input.
    """
    side = of.pixels.shape[1]
    subject = explainer.subject(of, 0)

    def score(images: Float[np.ndarray, "b s s c"]) -> Float[np.ndarray, "b"]:
        logits = explainer.programs.scores(
            explainer.predictor.variables, jnp.asarray(images), subject
        )
        return np.asarray(jax.nn.sigmoid(logits), np.float64)

    plane = explainer.in_image(order, (side, side))
    return curves(score, np.asarray(of.pixels[0]), plane, fill_value(explainer))


def fill_value(explainer: Explainer) -> float:
    """What training puts around an image, in [0, 1]."""
    return explainer.predictor.config.data.pad_value / 255
