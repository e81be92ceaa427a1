"""Charts of the page with their captions: what is drawn, from which results."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from tqgd_jax.evaluation.measures.froc import NAMES
from tqgd_jax.report.html import charts, metric_tables
from tqgd_jax.report.html.charts import Bar
from tqgd_jax.report.html.numbers import Numbers, pointer

FEW = 8  # scans or slices below which the lowest rate is less than one false alarm
MOST = 16  # bars side by side that can be read; the table has any number


class Plot(NamedTuple):
    """A chart and the text below it."""

    svg: Markup
    caption: Markup


class Calcium(NamedTuple):
    """What the section on calcium draws: keys of the agreement, charts, table of cuts."""

    agreement: list[str]
    cuts: metric_tables.Grid
    charts: list[Plot]
    shares: list[list[float]]


def precision_recall(numbers: Numbers, protocol: str) -> Plot:
    """Precision over recall at IoU 0.5 with the operating point."""
    section = numbers.results["protocols"][protocol]
    point = operating_point(section)
    title = metric_tables.PROTOCOLS[protocol][0]
    alt = f"{title}: precision over recall at IoU 0.5; the figures are in the table below."
    mark = " The circle is the frozen threshold." if point else ""
    caption = Markup(
        "Precision and recall over all scores at IoU 0.5, envelope of the YOLOv5 "
        "rule, which also counts its straight way from the highest recall reached to "
        "(1, 0), dotted here.{} n = {} boxes in {} slices of {} patients."
    ).format(
        mark,
        *(
            numbers.number(pointer("protocols", protocol, k))
            for k in ("boxes", "slices", "patients")
        ),
    )
    return Plot(
        charts.precision_recall(section["curves"]["pr"], point, protocol, alt),
        caption,
    )


def operating_point(of: dict[str, Any]) -> tuple[float, float] | None:
    """(recall, precision) of a protocol at the frozen threshold, if both are known."""
    if "figures" not in of:
        return None
    recall, precision = (
        _value(of, f"point.iou0.5.{name}") for name in ("recall", "precision")
    )
    return None if recall is None or precision is None else (recall, precision)


def froc(numbers: Numbers, protocol: str, *, images: bool = False) -> list[Plot]:
    """FROC of each unit there is a curve of; of `images` without scans, per image."""
    section = numbers.results["protocols"][protocol]
    title = metric_tables.PROTOCOLS[protocol][0]
    plots = []
    for unit, curve in section["curves"].get("froc", {}).items():
        if images and unit != "slice":
            continue
        dots = [_value(section, f"froc.{unit}.{rate}") for rate in NAMES]
        what = {"lesion": "of 3-D lesions, per scan"}.get(unit, f"per {unit}")
        alt = f"{title}: FROC {what}; the figures are in the table below."
        level = f"{100 * numbers.results['settings']['level']:g} %"
        band = f"band: {level} from resamples, point by point"
        if all(low is None for low in curve.get("low") or ()):
            band = f"no band: there are no {level} intervals"
        n = {
            k: numbers.number(pointer("protocols", protocol, k))
            for k in ("boxes", "scans", "slices")
        }
        caption = Markup(
            "FROC {}, a hit is a centre within half the longer side. Circles: the "
            "seven rates of the table; {}. n = {} boxes in {}{} slices."
        ).format(
            *(what, band, n["boxes"]),
            "" if images else Markup("{} scans, ").format(n["scans"]),
            n["slices"],
        )
        place = "slice" if unit == "slice" else "scan"
        if section[f"{place}s"] < FEW:
            caption += Markup(
                " With fewer than {} {}s, 1/8 false alarms per {} are less than one "
                "false alarm in all of them."
            ).format(FEW, place, place)
        plots.append(Plot(charts.froc(curve, dots, protocol, unit, alt), caption))
    return plots


def strata(
    numbers: Numbers,
    protocol: str,
    family: str,
    corner: str,
    unit: str,
    known: Sequence[str],
) -> Plot | None:
    """Bars of the share found in each stratum; None when none or too many."""
    table = metric_tables.strata(family, corner, unit, known)
    titles = {"recall": "IoU 0.5", "centre": "centre-hit"}
    values = numbers.results["protocols"][protocol]["figures"] if known else {}
    groups: dict[str, Sequence[Bar]] = {}
    for tail, title in titles.items():
        keys = [(n, k) for n, ks in table.rows for k in ks if k.endswith(f".{tail}")]
        if keys:
            groups[title] = [
                _bar(name.removesuffix(f" {unit}"), values[key]) for name, key in keys
            ]
    if not groups or len(table.rows) > MOST:
        return None
    name = metric_tables.PROTOCOLS[protocol][0]
    axis = f"{corner.lower()}, {unit}" if unit else corner.lower()
    alt = f"{name}: share of boxes found by {axis}; the figures are in the table below."
    caption = Markup(
        "{}: share of the labelled boxes found at the frozen threshold{}; {}. n = {} "
        "boxes, how many in each group stands in the table."
    ).format(
        name,
        "" if len(groups) > 1 else " at IoU 0.5",
        _intervals(groups, f"{100 * numbers.results['settings']['level']:g} %"),
        numbers.number(pointer("protocols", protocol, "boxes")),
    )
    return Plot(charts.bars(groups, family.replace(".", "-"), axis, alt), caption)


def _intervals(groups: dict[str, Sequence[Bar]], level: str) -> str:
    """What a caption says of the intervals of bars."""
    bars = [bar for row in groups.values() for bar in row if bar.value is not None]
    with_lines = sum(bar.low is not None and bar.high is not None for bar in bars)
    if not with_lines:
        return f"there are no {level} intervals, for the reason under the table"
    some = "" if with_lines == len(bars) else " (none where the table gives a reason)"
    return f"lines are {level} intervals{some}"


def calcium(numbers: Numbers) -> Calcium:
    """Agreement of the scans' scores; `results["calcium"]` must hold figures."""
    section = numbers.results["calcium"]
    cuts = metric_tables.cuts(section["figures"])
    agreement = [key for key in section["figures"] if key not in cuts.keys]
    shares = [[c / max(1, sum(row)) for c in row] for row in section["confusion"]]
    plots = [_bland_altman(numbers, log=False), _bland_altman(numbers, log=True)]
    return Calcium(agreement, cuts, plots, shares)


def _bland_altman(numbers: Numbers, *, log: bool) -> Plot:
    section = numbers.results["calcium"]
    mean, difference = (section["bland_altman"][k] for k in ("mean", "difference"))
    start = "log_" if log else ""
    if log:
        pairs = [
            (math.log1p(max(0.0, m - d / 2)), math.log1p(max(0.0, m + d / 2)))
            for m, d in zip(mean, difference, strict=True)
        ]
        mean = [(a + b) / 2 for a, b in pairs]
        difference = [b - a for a, b in pairs]
    lines = [_value(section, f"{start}{k}") for k in ("loa_low", "bias", "loa_high")]
    of = "log(score + 1)" if log else "score"
    svg = charts.bland_altman(
        mean,
        difference,
        (lines[0], lines[1], lines[2]),
        (f"mean of both, {of}", f"predicted - reference, {of}"),
        f"bland-altman{'-log' if log else ''}",
        f"Bland-Altman plot of {of}; bias and limits are in the table above.",
    )
    limits = [
        pointer("calcium", "figures", f"{start}{k}")
        for k in ("bias", "loa_low", "loa_high")
    ]
    known = all(at.rpartition("/")[2] in section["figures"] for at in limits)
    caption = Markup("Bland-Altman of {}, a dot a scan, n = {}.").format(
        of, numbers.number("/calcium/scans")
    )
    if known:
        caption += Markup(" Bias {}, limits of agreement {} to {}.").format(
            *(numbers.number(f"{at}/value") for at in limits)
        )
    return Plot(svg, caption)


def _value(section: dict[str, Any], key: str) -> float | None:
    return section["figures"].get(key, {}).get("value")


def _bar(name: str, figure: dict[str, Any]) -> Bar:
    return Bar(name, figure["value"], figure["low"], figure["high"])
