"""Numbers on the page: where each comes from, how it is rounded, and the check of both.

Every number that stands in `results.json` carries its JSON pointer (RFC 6901) and its full
value beside the rounded text, so `verify` can follow each back.
"""

import json
import math
from typing import Any

from markupsafe import Markup

from tqgd_jax.report.html.page_reader import Page

DASH = "\N{EN DASH}"
TOLERANCE = 1e-9
# Of a flat key `point.iou0.5.tp` the last part.
COUNTS = {
    *("images", "positive_images", "boxes", "ignored", "detections", "patients"),
    *("scans", "slices", "tp", "fp", "fn", "reference", "detected", "bootstraps"),
    *("cut", "outside", "seed", "of", "folds"),
    *("patients_changed", "changed_by_definition"),
    *("confusion", "categories", "size_px", "size_mm2"),
}
# In the unit of a calcium score (or mm3, mg): one decimal.
SCORES = {"bias", "sd", "loa_low", "loa_high", "mae", "mean", "difference"}
PARTS = {"value", "low", "high", "mean", "sd"}  # of one figure


def pointer(*parts: str | int) -> str:
    """JSON pointer to a place in the results: `~` and `/` in a key are escaped."""
    keys = (str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(f"/{key}" for key in keys)


def resolve(results: Any, at: str) -> Any:
    """What a pointer points to. Raises KeyError where there is nothing."""
    value = results
    for part in split(at):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise KeyError(f"results hold nothing at {at}") from None
    return value


def split(at: str) -> list[str]:
    """The keys of a pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in at.split("/")[1:]]


def decimals(at: str) -> int:
    """Digits after the point: 0 for counts, 1 for scores, 3 for all ratios."""
    parts = [part for part in split(at) if not part.isdigit()]
    name = parts.pop()
    if name in PARTS and parts and parts[-1] not in ("bland_altman", "figures"):
        name = parts.pop()
    name = name.rpartition(".")[2]
    if name in COUNTS:
        return 0
    return 1 if name in SCORES else 3


def rounded(at: str, value: object) -> str:
    """The text shown for a value, by `decimals` or `cut`; a dash for none."""
    if value is None:
        return DASH
    if isinstance(value, str) or not isinstance(value, int | float):
        return str(value)
    digits = decimals(at)
    if "threshold" in at:
        return cut(value)
    if digits == 0 and value != round(value):
        digits = 1  # a mean of counts, or a bound between two
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def cut(value: float) -> str:
    """A threshold: three decimals, below 0.001 three digits that are not 0."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.3g}"


class Numbers:
    """Numbers of one page as HTML; remembers why some are missing until asked."""

    def __init__(self, results: dict[str, Any]) -> None:
        """Results as read from results.json."""
        self.results = results
        self._reasons: dict[str, int] = {}
        self._lists = 0

    def number(self, at: str) -> Markup:
        """One number with its place and its full value."""
        value = resolve(self.results, at)
        return Markup('<span class="n" data-at="{}" data-value="{}">{}</span>').format(
            at, json.dumps(value), rounded(at, value)
        )

    def interval(self, at: str) -> Markup:
        """A figure {"value", "low", "high", "reason"}: `0.762 (0.650 to 0.840)`."""
        figure = resolve(self.results, at)
        shown = self.number(f"{at}/value")
        if figure.get("low") is not None and figure.get("high") is not None:
            shown += Markup(' <span class="ci">({} to {})</span>').format(
                self.number(f"{at}/low"), self.number(f"{at}/high")
            )
        if reason := figure.get("reason"):
            shown += self.why(reason)
        elif figure["value"] is None:
            shown += self.why("undefined for these images")
        return Markup('<span class="figure">{}</span>').format(shown)

    def why(self, reason: str) -> Markup:
        """A mark that leads to the reason, which `reasons` prints."""
        number = self._reasons.setdefault(reason, len(self._reasons) + 1)
        mark = Markup('<a class="why" href="#why-{}-{}" title="{}">{}</a>')
        return mark.format(self._lists, number, reason, number)

    def reasons(self) -> list[tuple[str, int, str]]:
        """(id, number, text) of the reasons since the last call; then begins anew."""
        listed = [(f"why-{self._lists}-{n}", n, r) for r, n in self._reasons.items()]
        self._reasons = {}
        self._lists += 1
        return listed


def verify(page: Page, results: dict[str, Any]) -> list[str]:
    """What is wrong with a page: a line for each number that the results do not give.

    Args:
      page: report.html as `page_reader.read` gives it.
      results: recomputed or read from results.json; agreement is to 1e-9, relative for
        numbers above 1.
    """
    wrong = [] if page.numbers else ["the page holds no numbers to verify"]
    for at, written, shown in page.numbers:
        try:
            value, expected = json.loads(written), resolve(results, at)
        except (KeyError, ValueError) as problem:
            wrong.append(f"{at}: {problem.args[0]}")
            continue
        if not same(value, expected):
            wrong.append(f"{at}: the page has {written}, the results {expected!r}")
        elif shown != rounded(at, value):
            wrong.append(
                f"{at}: the page shows {shown!r}, {written} is {rounded(at, value)!r}"
            )
    try:
        inside = json.loads(page.embedded)
    except ValueError:
        return [*wrong, "the page's own copy of results.json cannot be read"]
    return wrong + [f"embedded {line}" for line in differences(inside, results)]


def same(a: object, b: object) -> bool:
    """Equal, or two numbers that agree to 1e-9."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return a == b


def differences(a: Any, b: Any, at: str = "") -> list[str]:
    """Places where two JSON documents differ by more than 1e-9."""
    if isinstance(a, dict) and isinstance(b, dict):
        names = sorted(a.keys() ^ b.keys())
        wrong = [f"{at}{pointer(name)}: in one of the two only" for name in names]
        for name in a.keys() & b.keys():
            wrong += differences(a[name], b[name], at + pointer(name))
        return sorted(wrong)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return [f"{at}: {len(a)} against {len(b)} entries"]
        pairs = enumerate(zip(a, b, strict=True))
        return [d for i, (x, y) in pairs for d in differences(x, y, f"{at}/{i}")]
    return [] if same(a, b) else [f"{at}: {a!r} against {b!r}"]
