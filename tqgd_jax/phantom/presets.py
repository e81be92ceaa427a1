"""What the simulated scanners do, each number with its unit and where it is from."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Vendor:
    """One of four scanners; they differ as the scanners of a multi-vendor study do.

    Names are neutral on purpose: no maker's product was measured.

    Attributes:
      name: goes to phantom.json.
      fwhm_mm: in-plane width of the point spread; 0.8-1.1 mm is what soft-tissue
        kernels of calcium protocols give.
      noise: factor on the preset's noise.
      cutoff_per_mm: where the apodisation has fallen to 1/e; the noise power spectrum
        peaks at half of it.
      fov: factor on the preset's field of view.
      spacing: factor on the preset's slice spacing, rounded to 0.5 mm.
    """

    name: str
    fwhm_mm: float
    noise: float
    cutoff_per_mm: float
    fov: float
    spacing: float


VENDORS = (
    Vendor("soft", 1.10, 0.85, 0.33, 1.00, 1.0),
    Vendor("medium", 0.98, 1.00, 0.38, 1.06, 1.0),
    Vendor("sharp", 0.85, 1.20, 0.45, 0.96, 1.0),
    Vendor("thin", 0.92, 1.10, 0.40, 1.02, 0.84),
)


@dataclasses.dataclass(frozen=True)
class Preset:
    """A protocol.

    Attributes:
      fov_mm: mean field of view, before the vendor's factor.
      spacing_mm: slice spacing and thickness, before the vendor's factor.
      noise_hu: standard deviation in the heart of a patient of middle size.
      motion_mm: displacement of the heart over the phases that one slice mixes.
      phases: weights of these phases; one phase is a frozen heart.
      centre_mm: centre of the field of view (x, y) from the midline.
      burden: median count of lesions among patients who have any.
      lesion_mm: median half-thickness of a lesion across its artery.
      lesion_hu: median HU above blood of the calcium itself, before any blur.
      streaks: strength of beam hardening: what a ray through 1 cm of 1000 HU loses, in
        HU cm; it grows with the square. Chosen by eye.
    """

    name: str
    fov_mm: float
    spacing_mm: float
    noise_hu: float
    motion_mm: float
    phases: tuple[float, ...]
    centre_mm: tuple[float, float]
    burden: float
    lesion_mm: float
    lesion_hu: float
    streaks: float


PRESETS = {
    # orCaScore (Wolterink et al., Med. Phys. 2016): ECG-triggered calcium scoring at
    # 120 kVp, 3 mm slices, a field of view around the heart.
    "gated": Preset(
        name="gated",
        fov_mm=218.0,
        spacing_mm=3.0,
        noise_hu=19.0,
        motion_mm=0.0,
        phases=(1.0,),
        centre_mm=(14.0, -16.0),
        burden=4.5,
        lesion_mm=1.34,
        lesion_hu=700.0,
        streaks=280.0,
    ),
    # A low-dose screening chest CT: whole body in view, free-running heart.
    "nongated": Preset(
        name="nongated",
        fov_mm=356.0,
        spacing_mm=4.0,
        noise_hu=31.0,
        motion_mm=4.0,
        phases=(0.5, 0.3, 0.2),
        centre_mm=(0.0, 4.0),
        burden=4.5,
        lesion_mm=2.2,
        lesion_hu=600.0,
        streaks=360.0,
    ),
}
