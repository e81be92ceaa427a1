"""What differs between patients: sizes, positions and a smooth warp of everything.

The frame is the patient's: x to the left, y to the back, z to the head, mm; the origin
lies on the midline at mid-heart.
"""

import dataclasses

import numpy as np

from tqgd_jax.phantom.shapes import Array


@dataclasses.dataclass(frozen=True)
class Warp:
    """Displacement (mm) as a sum of plane waves, so that no outline is an ellipse."""

    waves: tuple[tuple[float, ...], ...]  # kx, ky, kz (rad/mm), phase, ax, ay, az (mm)

    def __call__(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """The displaced point."""
        dx = dy = dz = np.float32(0)
        for kx, ky, kz, phase, ax, ay, az in self.waves:
            s = np.sin(kx * x + ky * y + kz * z + phase)
            dx, dy, dz = dx + ax * s, dy + ay * s, dz + az * s
        return x + dx, y + dy, z + dz


@dataclasses.dataclass(frozen=True)
class Patient:
    """Drawn once per patient; lengths in mm, values in HU.

    Attributes:
      size: factor on the thorax.
      fat: thickness of the subcutaneous fat.
      heart: factor on the heart.
      heart_at: centre of the heart.
      turn: turn of the heart's long axis in the axial plane, radian.
      tilt: its tilt towards the feet, radian.
      epicardial: padding of fat around the heart muscle.
      aorta: radius of the ascending aorta.
      blood, muscle, lung, adipose: mean values of these tissues.
      rib_phase: height of the ribs, right and left.
      rib_pitch: distance between ribs.
      disc_phase: height of the intervertebral discs.
      bone: factor on the density of bone.
      dome: height of the right and left diaphragm.
      chest: depth of the chest against its width.
      cartilage: share of calcified costal cartilage.
      gas: whether the oesophagus holds gas.
      warp: smooth displacement of everything.
    """

    size: float
    fat: float
    heart: float
    heart_at: tuple[float, float, float]
    turn: float
    tilt: float
    epicardial: float
    aorta: float
    blood: float
    muscle: float
    lung: float
    adipose: float
    rib_phase: tuple[float, float]
    rib_pitch: float
    disc_phase: float
    bone: float
    dome: tuple[float, float]
    chest: float
    cartilage: float
    gas: bool
    warp: Warp


def draw_patient(rng: np.random.Generator) -> Patient:
    """A patient of the age that gets calcium scored; ranges are anatomy-book ones."""
    size = float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.14))
    waves = []
    for length in (60.0, 75.0, 90.0, 110.0, 140.0, 170.0):
        k = rng.normal(size=3)
        k *= 2 * np.pi / length / np.linalg.norm(k)
        amplitude = rng.normal(size=3) * length * 0.009
        waves.append((*k, rng.uniform(0, 2 * np.pi), *amplitude))
    return Patient(
        size=size,
        fat=float(np.clip(rng.lognormal(np.log(13), 0.45), 5, 32)),
        heart=float(np.clip(size * rng.normal(0.95, 0.05), 0.8, 1.1)),
        heart_at=(
            float(rng.normal(21, 4)),
            float(-25 * size + rng.normal(0, 2.5)),
            float(rng.normal(0, 4)),
        ),
        turn=float(rng.normal(0.62, 0.12)),
        tilt=float(rng.normal(0.55, 0.12)),
        epicardial=float(np.clip(rng.lognormal(np.log(3.2), 0.4), 1.5, 8)),
        aorta=float(np.clip(rng.normal(16.0, 1.5), 13, 21)),
        blood=float(rng.uniform(34, 50)),
        muscle=float(rng.uniform(46, 58)),
        lung=float(rng.normal(-862, 18)),
        adipose=float(rng.normal(-104, 5)),
        rib_phase=(float(rng.uniform(0, 30)), float(rng.normal(0, 4))),
        rib_pitch=float(rng.normal(27, 1.5)),
        disc_phase=float(rng.uniform(0, 26)),
        bone=float(rng.normal(1.0, 0.12)),
        dome=(float(rng.normal(-31, 6)), float(rng.normal(-44, 6))),
        chest=float(rng.normal(1.0, 0.05)),
        cartilage=float(np.clip(rng.normal(0.35, 0.3), 0, 1)),
        gas=bool(rng.random() < 0.25),
        warp=Warp(tuple(tuple(float(v) for v in w) for w in waves)),
    )
