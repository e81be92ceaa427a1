"""Charts inside the page: one after the other, without ids or addresses in common."""

import re

from tests.report import made_up
from tqgd_jax.report.html import charts, figures
from tqgd_jax.report.html.numbers import Numbers

CURVE = {"recall": [0.0, 0.5, 0.5, 0.8], "precision": [1.0, 1.0, 0.7, 0.6]}


def test_equal_input_gives_equal_bytes():
    one, two = (
        charts.precision_recall(CURVE, (0.5, 0.7), "clinical", "alt") for _ in range(2)
    )
    assert one == two


def test_two_charts_share_no_id_and_refer_to_their_own():
    numbers = Numbers(made_up.results())
    plots = [plot.svg for plot in figures.froc(numbers, "clinical")]
    plots += [figures.precision_recall(numbers, p).svg for p in ("clinical", "paper")]
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in plots]
    flat = [i for of_one in ids for i in of_one]
    assert len(flat) == len(set(flat)) > 50
    for svg, own in zip(plots, ids, strict=True):
        referred = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)
        assert referred
        assert {a or b for a, b in referred} <= set(own)
        assert "http" not in svg


def test_a_chart_takes_the_colours_of_the_page_and_tells_what_it_is():
    svg = charts.precision_recall(CURVE, None, "clinical", 'a "curve" <of> ours')
    assert charts.INK not in svg
    assert "fill: currentColor" in svg
    assert "var(--first)" in svg
    assert 'aria-label="a &#34;curve&#34; &lt;of&gt; ours"' in svg


def test_a_chart_of_nothing_says_so():
    nothing = charts.froc(
        {"fp": [], "sensitivity": []}, [None] * 7, "paper", "scan", "a"
    )
    assert "nothing to draw" in nothing
    assert "nothing to draw" in charts.bars({}, "sizes", "px", "alt")


def test_bars_without_a_value_or_with_long_names_leave_room_for_the_axes():
    """Matplotlib warns where they do not, and warnings are errors here."""
    unknown = [charts.Bar("LAD", None, None, None)]
    assert charts.DASH in charts.bars({"a": unknown, "b": unknown}, "n", "x", "alt")
    long = [charts.Bar("scanner " * 15, 0.5, 0.4, 0.6)]
    assert "scanner scanner" in charts.bars({"a": long}, "n", "x", "alt")


def test_more_strata_than_can_be_read_stand_in_the_table_only():
    results = made_up.results()
    known = results["protocols"]["clinical"]["figures"]
    known |= {f"scanner.S{k}.recall": made_up.figure(0.5) for k in range(20)}
    drawn = [
        figures.strata(Numbers(results), "clinical", family, "x", "", list(known))
        for family in ("scanner", "artery")
    ]
    assert drawn[0] is None
    assert drawn[1] is not None


def test_a_curve_goes_on_flat_to_the_right_of_its_last_point():
    svg = charts.froc(
        {"fp": [0.125, 1.0], "sensitivity": [0.5, 0.5]},
        [None] * 7,
        "clinical",
        "scan",
        "a",
    )
    (path,) = re.findall(r'<path d="([^"]+)"[^>]*stroke: var\(--first\)', svg)
    ends = [float(x) for x in re.findall(r"[ML] (-?[\d.]+) ", path)]
    frame = [float(x) for x in re.findall(r'<path d="M ([\d.]+) ', svg)]
    assert max(ends) > max(frame) - 1  # the frame's right edge is where rate 8 is


def without_intervals(results, start):
    for key, figure in results["protocols"]["clinical"]["figures"].items():
        if key.startswith(start):
            figure |= {"low": None, "high": None, "reason": "three patients"}
    return Numbers(results)


def test_a_caption_speaks_of_intervals_only_where_some_are_drawn():
    captions = []
    for start in ("no such", "artery.LAD", "artery"):
        numbers = without_intervals(made_up.results(), start)
        keys = list(numbers.results["protocols"]["clinical"]["figures"])
        plot = figures.strata(numbers, "clinical", "artery", "Artery", "", keys)
        assert plot
        captions.append(plot.caption)
    assert "lines are 95 % intervals." in captions[0]
    assert (
        "lines are 95 % intervals (none where the table gives a reason)." in captions[1]
    )
    assert "there are no 95 % intervals, for the reason under the table." in captions[2]


def test_a_froc_without_a_band_does_not_speak_of_one():
    results = made_up.results()
    curves = results["protocols"]["clinical"]["curves"]["froc"]
    for curve in (curves["scan"], curves["slice"]):
        curve |= {"low": [None] * len(curve["fp"]), "high": [None] * len(curve["fp"])}
    curves["lesion"]["low"][0] = None
    captions = [plot.caption for plot in figures.froc(Numbers(results), "clinical")]
    none = ["no band: there are no 95 % intervals" in text for text in captions]
    assert none == [True, True, False]
    assert "band: 95 % from resamples" in captions[2]


def test_the_froc_of_few_scans_says_that_its_lowest_rate_is_no_whole_false_alarm():
    results = made_up.results()
    results["protocols"]["clinical"] |= {"scans": 7, "slices": 8}
    results["protocols"]["paper"]["scans"] = 8
    captions = [plot.caption for plot in figures.froc(Numbers(results), "clinical")]
    few = "With fewer than 8 scans, 1/8 false alarms per scan are less than one false"
    assert [few in text for text in captions] == [True, False, True]
    assert not any(
        "fewer" in p.caption for p in figures.froc(Numbers(results), "paper")
    )
