"""Risk categories of an Agatston score. docs/design/0013-calcium-conventions.md."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Scheme(NamedTuple):
    """Categories from no calcium to most.

    A score is in category k when it passes k of the edges. The first edge is 0, and
    every score above it passes it: 0.4 is calcium, and in the category of 1.

    Attributes:
      edges: Agatston scores, ascending.
      labels: of the categories, one more than edges.
      grades: of each category, on one scale for all schemes: 0 none, 1 little, 2 moderate,
        3 much; "23" for a category that holds both.
      at_edge: whether a score equal to a later edge passes it, as in "100 to 299"; else
        it does not, as in "1 to 100", and 100.4 is in the category of 101.
    """

    edges: tuple[float, ...]
    labels: tuple[str, ...]
    grades: tuple[str, ...]
    at_edge: bool = False


FOUR = ("0", "1", "2", "3")

SCHEMES = {
    # Rumberger et al., Mayo Clin. Proc. 1999.
    "standard": Scheme(
        (0, 10, 100, 400),
        ("0", "1-10", "11-100", "101-400", ">400"),
        ("0", "1", "1", "2", "3"),
    ),
    "four": Scheme((0, 100, 400), ("0", "1-100", "101-400", ">400"), FOUR),
    # CAC-DRS, Hecht et al., J. Cardiovasc. Comput. Tomogr. 2018: A0 to A3.
    "cacdrs": Scheme((0, 100, 300), ("0", "1-99", "100-299", ">=300"), FOUR, True),
    # Zeleznik et al., Nat. Commun. 2021 (DeepCAC).
    "deepcac": Scheme((0, 100, 300), ("0", "1-100", "101-300", ">300"), FOUR),
    # The three of Grundy et al., Circulation 2019 (AHA/ACC guideline on cholesterol).
    "coarse": Scheme((0, 100), ("0", "1-99", ">=100"), ("0", "1", "23"), True),
}


def scheme(name: str) -> Scheme:
    """Of `SCHEMES`. ValueError lists the names when there is none of this one."""
    if name not in SCHEMES:
        raise ValueError(
            f"unknown scheme of categories {name!r}; there are: {', '.join(SCHEMES)}"
        )
    return SCHEMES[name]


def categories(
    scores: Float[np.ndarray, "*n"], scheme: Scheme
) -> Int[np.ndarray, "*n"]:
    """Category of each Agatston score. ValueError for one below 0 or not finite."""
    wrong = ~(np.isfinite(scores) & (scores >= 0))
    if wrong.any():
        raise ValueError(
            f"a category needs an Agatston score of 0 or more, got {scores[wrong][0]}"
        )
    side = "right" if scheme.at_edge else "left"
    # A sum of areas that is 100 stays in the category of 100, whatever its last bit is.
    scores = np.round(scores, 9)
    passed = 1 + np.searchsorted(scheme.edges[1:], scores, side=side)
    return np.where(scores > 0, passed, 0)


def category(score: float, scheme: Scheme) -> int:
    """Category of one Agatston score, from 0 (no calcium)."""
    return int(categories(np.array([score], np.float64), scheme)[0])
