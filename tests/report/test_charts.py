"""Charts inside the page: one after the other, without ids or addresses in common."""

import re

from tests.report import made_up
from tqgd_jax.report import charts, figures
from tqgd_jax.report.numbers import Numbers

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
    flat = [i for found in ids for i in found]
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


def test_more_strata_than_can_be_read_stand_in_the_table_only():
    results = made_up.results()
    found = results["protocols"]["clinical"]["figures"]
    found |= {f"scanner.S{k}.recall": made_up.figure(0.5) for k in range(20)}
    drawn = [
        figures.strata(Numbers(results), "clinical", family, "x", "", list(found))
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
