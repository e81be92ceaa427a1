"""What the scanner did to one patient: drawn anew for each, from wide ranges."""

import dataclasses

import numpy as np

SCALE_PER_KV = -0.0065  # of calcium and bone: 100 kVp shows them about 14 % brighter


@dataclasses.dataclass(frozen=True)
class Ranges:
    """From where protocols are drawn; written to phantom.json.

    Attributes:
      fov_mm: field of view, of gated and of chest scans.
      spacing_mm: slice thicknesses (equal to the spacing), of gated and of chest scans.
      gated: share of scans with a frozen heart.
      noise_hu: standard deviation in the heart, least and most.
    """

    name: str = "diverse"
    fov_gated_mm: tuple[float, float] = (180.0, 300.0)
    fov_chest_mm: tuple[float, float] = (260.0, 500.0)
    spacing_gated_mm: tuple[float, ...] = (
        *(0.5, 0.75, 1.0, 1.5, 2.0),
        *(2.5, 2.5, 2.5, 3.0, 3.0, 3.0, 3.0),
    )
    spacing_chest_mm: tuple[float, ...] = (
        *(0.5, 0.75, 1.0, 1.0, 1.25, 1.5, 2.0),
        *(2.5, 2.5, 3.0, 3.0, 4.0, 5.0, 5.0),
    )
    gated: float = 0.45
    noise_hu: tuple[float, float] = (6.0, 65.0)


RANGES = Ranges()


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One acquisition and reconstruction.

    Attributes:
      gated: whether the heart was frozen.
      fov_mm, spacing_mm: field of view; slice spacing and thickness.
      centre_mm: centre of the field of view (x, y) from the midline.
      fwhm_mm: in-plane width of the point spread.
      edge: gain of edge enhancement; 0 for a soft kernel, up to 0.9 for a lung kernel.
      noise_hu: standard deviation in the heart.
      cutoff_per_mm: where the noise's apodisation has fallen to 1/e.
      smooth: share of noise power at low frequencies, as iterative reconstruction leaves.
      lateral: excess of noise of the rays from side to side.
      streaks: strength of beam hardening, HU cm (`presets.Preset`).
      kv: tube voltage.
      offset_hu: error of calibration of water.
      motion_mm: path of the heart's surface within one slice.
      table: which of the couches.
    """

    gated: bool
    fov_mm: float
    spacing_mm: float
    centre_mm: tuple[float, float]
    fwhm_mm: float
    edge: float
    noise_hu: float
    cutoff_per_mm: float
    smooth: float
    lateral: float
    streaks: float
    kv: int
    offset_hu: float
    motion_mm: float
    table: int

    @property
    def mineral(self) -> float:
        """Factor on the HU of bone and calcium against 120 kVp."""
        return 1 + SCALE_PER_KV * (self.kv - 120)

    @property
    def name(self) -> str:
        """For phantom.json, as a scanner's name."""
        return "gated" if self.gated else "chest"


def draw_protocol(rng: np.random.Generator, arms_down: bool) -> Protocol:
    """A protocol; dose, thickness and kernel together set the noise."""
    r = RANGES
    gated = bool(rng.random() < r.gated)
    fov = rng.uniform(*(r.fov_gated_mm if gated else r.fov_chest_mm))
    spacing = float(rng.choice(r.spacing_gated_mm if gated else r.spacing_chest_mm))
    sharp = float(rng.beta(1.1, 2.2))  # 0: soft, 1: a lung kernel
    if gated:
        sharp *= 0.75
    iterative = bool(rng.random() < 0.35)
    dose = rng.lognormal(np.log(16 if gated else 15), 0.42)  # HU at 3 mm, soft kernel
    noise = dose * (3 / spacing) ** 0.4 * (1 + 1.2 * sharp) * (0.65 if iterative else 1)
    low, high = r.noise_hu
    width = 8.0 if gated else 12.0
    centre = (14.0, -16.0) if fov < 320 else (0.0, 6.0)
    motion = 0.0 if gated and rng.random() < 0.8 else float(rng.gamma(2.2, 1.8))
    return Protocol(
        gated=gated,
        fov_mm=float(fov),
        spacing_mm=spacing,
        centre_mm=(
            float(centre[0] + rng.normal(0, width)),
            float(centre[1] + rng.normal(0, width)),
        ),
        fwhm_mm=float(1.25 - 0.6 * sharp + rng.normal(0, 0.06)),
        edge=float(max(0.0, sharp - 0.35) * rng.uniform(0.5, 1.5)),
        noise_hu=float(np.clip(noise, low, high)),
        cutoff_per_mm=float(
            (0.27 + 0.5 * sharp + rng.uniform(0, 0.2)) * (0.8 if iterative else 1)
        ),
        smooth=float(rng.uniform(0.2, 0.6) if iterative else rng.uniform(0.03, 0.35)),
        lateral=float(rng.uniform(0.1, 1.0) + (rng.uniform(1, 5) if arms_down else 0)),
        streaks=float(rng.uniform(150, 480)),
        kv=int(rng.choice((100, 120, 130, 140), p=(0.15, 0.7, 0.07, 0.08))),
        offset_hu=float(rng.normal(0, 3)),
        motion_mm=min(motion, 10.0),
        table=int(rng.integers(4)),
    )
