"""Which part of an image made a network see calcium: maps of one image, by module.

    explanation = explain(load("runs/tqgdnet"), hu_slice)
    explanation.map  # [h, w] in [0, 1], px of the slice

A map says where the score came from. It is no evidence that a detection is right.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from tqgd_jax.augment_geometry import letterbox_geometry
from tqgd_jax.data import dataset
from tqgd_jax.data.unlabelled import of_arrays
from tqgd_jax.decode import unletterbox
from tqgd_jax.explain import modules, reading
from tqgd_jax.explain.formulas import METHODS, unit
from tqgd_jax.explain.modules import HEAD, Places
from tqgd_jax.explain.reading import Programs, Reading, Variables
from tqgd_jax.predictor import PADDED, Predictor
from tqgd_jax.structures.batch import Arr
from tqgd_jax.yolo import Candidate, Yolo

BEST = 10  # boxes whose maps make the map of an image


class Candidates(NamedTuple):
    """What may be explained in one image, the best first.

    Attributes:
      pixels: the network's input.
      size: height and width of the image, px.
      boxes: (x0, y0, x1, y1), px of the image.
      network_boxes: the same in network px, not clipped.
      scores: confidence.
      labels: class indices.
      number: among all candidates: of a detector with anchors in the order of `decode`,
        of others the best first.
      raw_best: nothing reaches the threshold; this is the best of all candidates.
    """

    pixels: Float[Array, "1 s s c"]
    size: tuple[int, int]
    boxes: Float[np.ndarray, "n 4"]
    network_boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]
    labels: Int[np.ndarray, "n"]
    number: Int[np.ndarray, "n"]
    raw_best: bool


class Explanation(NamedTuple):
    """A map of one image.

    Attributes:
      map: in [0, 1], px of the image: the element-wise maximum of the maps of the boxes,
        each scaled to [0, 1]; all 0 where no box depends on the module.
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
        source = of_arrays([self.predictor.checked(image)], PADDED)
        pixels = self.programs.fit(next(dataset.in_order(source, 1)))
        if not isinstance(self.predictor.network, Yolo):
            return self._answered(image, pixels, least)
        decoded = self.programs.find(self.predictor.variables, pixels)
        decoded = jax.tree.map(lambda x: np.asarray(x[0]), decoded)
        boxes, scores = decoded.boxes, decoded.scores
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError("the network gives NaN or infinity for this image")
        size = (int(source.sizes[0, 0]), int(source.sizes[0, 1]))
        boxes_left, certainty, labels, valid = decoded.detections
        native = self.native(boxes_left, size)
        area = (native[:, :2] < native[:, 2:]).all(axis=1)
        chosen = np.flatnonzero(valid & area & (certainty.astype(float) >= least))
        # Suppression has copied these very numbers, in the same program.
        index = [
            np.flatnonzero(
                (boxes == boxes_left[d]).all(axis=1)
                & (scores[:, labels[d]] == certainty[d])
            )[0]
            for d in chosen
        ]
        label = labels[chosen]
        if raw_best := not index:
            all_native = self.native(boxes, size)
            inside = (all_native[:, :2] < all_native[:, 2:]).all(axis=1, keepdims=True)
            ranked = np.where(inside, scores, -1)
            best, of_class = np.unravel_index(ranked.argmax(), scores.shape)
            index, label = [best], np.array([of_class])
        at, label = np.array(index, np.int32), label.astype(np.int32)
        return Candidates(
            pixels,
            size,
            self.native(boxes[at], size),
            boxes[at],
            scores[at, label],
            label,
            at,
            raw_best,
        )

    def _answered(self, image: Arr, pixels: Array, least: float) -> Candidates:
        """Boxes of the predictor itself."""
        every = self.predictor(image, 0.0)
        number = np.flatnonzero(every.scores.astype(float) >= least)
        if raw_best := not len(number):
            number = np.arange(min(1, len(every.scores)))
        boxes, scores, labels = (x[number] for x in every)
        size = (int(image.shape[0]), int(image.shape[1]))
        gain, y, x = letterbox_geometry(size, pixels.shape[1])
        return Candidates(
            pixels,
            size,
            boxes,
            (boxes * gain + np.array([x, y, x, y])).astype(np.float32),
            scores,
            labels.astype(np.int32),
            number.astype(np.int32),
            raw_best and len(number) > 0,
        )

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

    def native(
        self, boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]
    ) -> Float[np.ndarray, "n 4"]:
        """Boxes of the network's input in px of the image, clipped to it."""
        side = self.predictor.config.data.image_size
        return np.asarray(unletterbox(boxes, np.array(size), side))

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
