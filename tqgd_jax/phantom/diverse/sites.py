"""Where this patient's coronary arteries are calcified."""

import numpy as np

from tqgd_jax.phantom.arteries import Artery
from tqgd_jax.phantom.diverse.patient import Person
from tqgd_jax.phantom.lesion_sites import plaque
from tqgd_jax.phantom.lesions import Lesion

SHARE = {"LAD": 0.5, "RCA": 0.3, "LCX": 0.2}
ON_A_BRANCH = 0.12  # of the lesions
LEFT_MAIN = 0.08
LONG = 0.2  # that follow their artery for a centimetre or more


def coronary(
    mains: list[Artery], branches: list[Artery], p: Person, rng: np.random.Generator
) -> list[Lesion]:
    """Lesions from spots of a millimetre to confluent ones; one in seven has none."""
    if rng.random() < 0.15:
        return []
    old = (p.age - 62) / 12
    count = int(np.clip(round(rng.lognormal(np.log(6.0) + 0.4 * old, 0.8)), 1, 36))
    severity = float(rng.lognormal(0.06 * old, 0.22))
    by_name = {a.name: a for a in mains}
    lesions = []
    for _ in range(count):
        artery = by_name[str(rng.choice(list(SHARE), p=list(SHARE.values())))]
        at = float(rng.beta(1.3, 2.4) * 0.9 + 0.03)
        kind = rng.random()
        if branches and kind < ON_A_BRANCH:
            artery = branches[int(rng.integers(len(branches)))]
            at = float(rng.uniform(0.02, 0.7))
        elif kind < ON_A_BRANCH + LEFT_MAIN:  # the first centimetre of the LAD's curve
            artery, at = by_name["LAD"], float(rng.uniform(0.0, 0.12))
        half = 1.45 * severity * rng.lognormal(0, 0.38)
        # A plaque is hardly thicker than its artery.
        half = min(half * min(1.0, float(artery.radii[0]) / 1.3), 2.6)
        hu = float(np.clip(rng.lognormal(np.log(620), 0.42), 180, 1400))
        start = int(at * (len(artery.points) - 1))
        lobes = plaque(artery, start, half, rng)
        if rng.random() < LONG:
            step = max(1, round(1.8 * half))
            for k in range(1, 1 + int(rng.geometric(0.35))):
                then = min(start + k * step, len(artery.points) - 2)
                lobes += plaque(artery, then, half * rng.uniform(0.5, 1), rng)
        lesions.append(Lesion(artery.name, lobes, hu))
    return lesions
