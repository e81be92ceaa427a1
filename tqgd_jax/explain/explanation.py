"""Which part of an image made a network see calcium: maps of one image, by module.

    explanation = explain(load("runs/tqgdnet"), hu_slice)
    explanation.map  # [h, w] in [0, 1], px of the slice

A map says where the score came from. It is no evidence that a detection is right.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tqgd_jax.augment_geometry import letterbox_geometry
from tqgd_jax.explain import modules, reading
from tqgd_jax.explain.candidates import Candidates, candidates
from tqgd_jax.explain.formulas import METHODS, unit
from tqgd_jax.explain.modules import HEAD, Places
from tqgd_jax.explain.reading import Programs, Reading, Variables
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.batch import Arr
from tqgd_jax.yolo import Candidate, Yolo

BEST = 10  # boxes whose maps make the map of an image


class Explanation(NamedTuple):
    """A map of one image.

    Attributes:
      map: in [0, 1], px of the image: the element-wise maximum of the maps of the boxes,
        each scaled to [0, 1]; all 0 where nothing in the module raises the score.
      raw: of each box the map of its module's cells, not scaled.
      modules: of each box the module that was read.
      boxes: (x0, y0, x1, y1) of the explained boxes, px of the image, the best first.
      scores: their confidence.
      method: a name in `formulas.METHODS`.
      raw_best: see `Candidates`.
    """

    map: Float[np.ndarray, "h w"]
    raw: tuple[Float[np.ndarray, "_ _"], ...]
    modules: tuple[str, ...]
    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]
    method: str
    raw_best: bool

    @property
    def flat(self) -> bool:
        """The scores do not depend on the module."""
        return not self.map.any()


def explain(
    predictor: Predictor,
    image: Arr,
    module: str = HEAD,
    method: str = "gradcam++",
    min_score: float | None = None,
) -> Explanation:
    """The map of one image; `Explainer` compiles once for many.

    Args:
      predictor: a detector.
      image: as the predictor takes it.
      module: name of a map, such as "queen/q3"; "head": of each box the map that its
        head reads.
      method: a name in `formulas.METHODS`.
      min_score: least confidence of an explained box [the predictor's threshold].

    Raises:
      ValueError: no such module or method, or an image that does not fit the predictor.
    """
    explainer = Explainer(predictor, (module,))
    return explainer.explain(explainer.candidates(image, min_score), method)[module]


@dataclasses.dataclass(frozen=True, eq=False)
class Explainer:
    """A network whose maps are read.

    Attributes:
      predictor: the detector.
      asked: modules, see `modules.named`.
    """

    predictor: Predictor
    asked: tuple[str, ...] = (HEAD,)

    def __post_init__(self) -> None:
        _ = self.modules  # a wrong name is refused at once

    @cached_property
    def places(self) -> Places:
        """All maps of the network."""
        config = self.predictor.config
        return modules.places(
            self.predictor.network,
            self.predictor.variables,
            config.data.image_size,
            config.model.in_channels,
        )

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """What is explained: names of maps, or "head"."""
        return modules.named(self.asked, self.places)

    @cached_property
    def programs(self) -> Programs:
        """Compiled when they are first called."""
        names = {*self.modules, *(self.places.read.values())} - {HEAD}
        return reading.programs(
            self.predictor, {name: self.places.shapes[name] for name in sorted(names)}
        )

    def candidates(self, image: Arr, min_score: float | None = None) -> Candidates:
        """The detections of an image, or the best candidate where nothing is detected.

        Of a detector with anchors any cell and anchor is a candidate, of others what the
        predictor gives at the threshold 0, which may be nothing.

        Args:
          image: as the predictor takes it.
          min_score: least confidence [the predictor's threshold].
        """
        least = self.predictor.threshold if min_score is None else min_score
        if not 0 <= least <= 1:
            raise ValueError(f"min_score must be in [0, 1], got {least}")
        return candidates(self.predictor, self.programs, image, least)

    def explain(
        self,
        of: Candidates,
        method: str = "gradcam++",
        which: Sequence[int] = range(BEST),
    ) -> dict[str, Explanation]:
        """For each module of `modules` the map of some boxes.

        Args:
          of: what `candidates` gave.
          method: a name in `formulas.METHODS`.
          which: numbers of the boxes, 0 the best; those beyond the last are left out.
        """
        known(method)
        which = [k for k in which if k < len(of.number)]
        subjects = [self.subject(of, k) for k in which]
        weights = self.predictor.variables
        read = [self.programs.read(weights, of.pixels, s) for s in subjects]
        none = np.zeros(of.size)
        result = {}
        for name in self.modules:
            names = [self.module_of(name, subject) for subject in subjects]
            raw = [raw_map(r, n, method) for r, n in zip(read, names, strict=True)]
            maps = [unit(self.in_image(m, of.size)) for m in raw]
            result[name] = Explanation(
                np.max([none, *maps], axis=0),
                tuple(raw),
                tuple(names),
                of.boxes[which],
                of.scores[which],
                method,
                of.raw_best,
            )
        return result

    def reading(
        self, of: Candidates, k: int, variables: Variables | None = None
    ) -> Reading:
        """Maps and gradients of one box, also for other weights at the same place."""
        weights = self.predictor.variables if variables is None else variables
        return self.programs.read(weights, of.pixels, self.subject(of, k))

    def subject(self, of: Candidates, k: int) -> Any:
        """What the score of one box is made of, see `network.Explained`."""
        label = jnp.int32(of.labels[k])
        if isinstance(self.predictor.network, Yolo):
            return Candidate(jnp.int32(of.number[k]), label)
        box = jnp.asarray(of.network_boxes[k])
        return self.programs.subject(self.predictor.variables, of.pixels, box, label)

    def module_of(self, name: str, subject: Any) -> str:
        """The map to read for a box: that of its head, if "head" is asked."""
        if name != HEAD:
            return name
        return self.places.read[
            modules.explained(self.predictor.network).level(subject)
        ]

    def in_image(
        self, cells: Float[np.ndarray, "y x"], size: tuple[int, int]
    ) -> Float[np.ndarray, "h w"]:
        """A map of cells at the pixels of the image, bilinear, without the letterbox."""
        side = self.predictor.config.data.image_size
        gain, *pads = letterbox_geometry(size, side)
        rows, columns = (
            _bilinear(n, float(gain), float(pad), self.places.side / count, count)
            for n, pad, count in zip(size, pads, cells.shape, strict=True)
        )
        return rows @ cells @ columns.T


def known(method: str) -> None:
    """Raises ValueError for what is no method."""
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are: {', '.join(METHODS)}")


def raw_map(read: Reading, module: str, method: str) -> Float[np.ndarray, "y x"]:
    """The map of one reading, in cells of the module; ValueError if it is not finite."""
    a, g = (np.asarray(of[module], np.float64) for of in (read.maps, read.gradients))
    if not (np.isfinite(a).all() and np.isfinite(g).all()):
        raise ValueError(f"module {module!r} gives NaN or infinity for this image")
    return METHODS[method](a, g)


def _bilinear(
    length: int, gain: float, pad: float, stride: float, count: int
) -> Float[np.ndarray, "length count"]:
    """Weights of `count` cells at the centres of `length` pixels of the image."""
    at = ((np.arange(length) + 0.5) * gain + pad) / stride - 0.5
    at = np.clip(at, 0, count - 1)[:, None]
    return np.maximum(1 - np.abs(at - np.arange(count)[None]), 0)
