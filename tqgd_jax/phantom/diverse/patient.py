"""Who lies on the couch: both sexes, thin to very large, young to old."""

import dataclasses
from typing import Any

import numpy as np

from tqgd_jax.phantom.anatomy import Patient, Warp, draw_patient
from tqgd_jax.phantom.tubes import xyz


@dataclasses.dataclass(frozen=True)
class Person(Patient):
    """A patient with what the fixed presets do not vary; lengths in mm.

    Attributes:
      sex: "F" or "M".
      age: years; bone, cartilage, fat in muscle and all calcium go with it.
      breast: depth of a breast, right and left (a mastectomy leaves 0).
      gland: share of gland in a breast.
      arms: whether the arms lie beside the body.
      muscle_fat: share of fat in the muscles of the wall.
      scapula: height of the lower end of the shoulder blade.
      rib: half-thickness of a rib.
      cartilage_mm: half-thickness of a costal cartilage.
      ossified: how bright the calcified cartilage is inside against its rim.
      spine: what the vertebral bodies have more than in the fixed presets.
      osteophyte: size of bony spurs at the discs; 0 without.
      cortex: factor on the density of cortical bone against the marrow's.
      gap: width of the fat between the great vessels.
      pericardium: HU of the line between the two fats around the heart.
      visceral: whether fat lines the diaphragm.
      collapse: HU that gravity adds to the lung over its depth.
      emphysema: share of the lung that has become air.
    """

    sex: str
    age: float
    breast: tuple[float, float]
    gland: float
    arms: bool
    muscle_fat: float
    scapula: float
    rib: float
    cartilage_mm: float
    ossified: float
    spine: float
    osteophyte: float
    cortex: float
    gap: float
    pericardium: float
    visceral: bool
    collapse: float
    emphysema: float

    def place(self, at: tuple[float, float, float]) -> tuple[float, float, float]:
        """The point of this patient whom the warp takes to a point of the mean body."""
        goal = np.asarray(at, np.float64)
        q = goal
        for _ in range(6):  # displacements are small against their wavelengths
            q = q + goal - np.array(self.warp(*q))
        return xyz(q)


def draw_person(rng: np.random.Generator) -> Person:
    """Sizes by sex and age; ranges are wider than the fixed presets' and overlap."""
    base = draw_patient(rng)
    female = bool(rng.random() < 0.5)
    age = float(np.clip(rng.normal(64, 12), 30, 92))
    old = (age - 62) / 12
    size = float(np.clip(rng.normal(0.94 if female else 1.04, 0.065), 0.78, 1.24))
    fat = rng.lognormal(np.log(19 if female else 14), 0.5)
    breast = (0.0, 0.0)
    if female:
        depth = rng.lognormal(np.log(26), 0.45)
        breast = (depth * rng.uniform(0.85, 1.15), depth * rng.uniform(0.85, 1.15))
        if rng.random() < 0.04:
            breast = (breast[0], 0.0)
    elif rng.random() < 0.2:
        breast = (rng.uniform(5, 16), rng.uniform(5, 16))
    values: dict[str, Any] = {
        f.name: getattr(base, f.name) for f in dataclasses.fields(Patient)
    }
    values |= {
        "size": size,
        "fat": float(np.clip(fat, 3.5, 60)),
        "heart": float(np.clip(size * rng.normal(0.99, 0.075), 0.75, 1.28)),
        "heart_at": (
            float(rng.normal(19, 6)),
            float(-30 * size + rng.normal(0, 4.5)),
            float(rng.normal(0, 6)),
        ),
        "turn": float(rng.normal(0.62, 0.18)),
        "tilt": float(rng.normal(0.55, 0.16)),
        "epicardial": float(np.clip(rng.lognormal(np.log(1.6), 0.85), 0.2, 11)),
        "aorta": float(np.clip(rng.normal(16.3 + 0.8 * old, 1.8), 12, 24)),
        "blood": float(rng.uniform(28, 52)),
        "muscle": float(rng.uniform(42, 60)),
        "lung": float(rng.normal(-858, 26)),
        "adipose": float(rng.normal(-104, 6)),
        "bone": float(np.clip(rng.normal(1.05 - 0.13 * old, 0.2), 0.45, 1.7)),
        "dome": (float(rng.normal(-31, 11)), float(rng.normal(-44, 11))),
        "chest": float(np.clip(rng.normal(1.03, 0.08), 0.85, 1.25)),
        "cartilage": float(np.clip(rng.normal(0.5 + 0.22 * old, 0.35), 0, 1.3)),
        "warp": Warp(
            tuple((*w[:4], *(1.35 * a for a in w[4:])) for w in base.warp.waves)
        ),
    }
    return Person(
        **values,
        sex="F" if female else "M",
        age=age,
        breast=(float(breast[0]), float(breast[1])),
        gland=float(np.clip(rng.beta(1.5, 3) - 0.08 * old, 0.02, 0.9)),
        arms=bool(rng.random() < 0.15),
        muscle_fat=float(np.clip(rng.beta(1.6, 5) + 0.06 * old, 0.02, 0.7)),
        scapula=float(rng.normal(8, 22)),
        rib=float(rng.uniform(3.2, 4.8)),
        cartilage_mm=float(rng.uniform(4.6, 6.6)),
        ossified=float(rng.uniform(0, 0.8)),
        spine=float(rng.uniform(0, 3.5)),
        osteophyte=float(max(0, rng.normal(2.2 + 1.6 * old, 2.4))),
        cortex=float(rng.uniform(0.75, 1.4)),
        gap=float(rng.uniform(0.5, 4.5)),
        pericardium=float(rng.uniform(-70, 25)),
        visceral=bool(rng.random() < 0.5),
        collapse=float(rng.gamma(2, 0.25)),
        emphysema=float(np.clip(rng.normal(-0.1, 0.15), 0, 0.35)),
    )
