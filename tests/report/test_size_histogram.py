"""What the legend of Fig. 2 says of which data set."""

import pytest

from tqgd_jax.report import size_histogram


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """The texts of the legend, its title first, and those in the axes."""
    seen = []
    monkeypatch.setattr(size_histogram, "save", lambda figure, _: seen.append(figure))

    def draw(counts: dict[str, list[int]]) -> tuple[list[str], list[str]]:
        size_histogram.draw(tmp_path / "x.png", counts, "xy", "simulated patients")
        (figure,) = seen
        inside = [text.get_text() for text in figure.axes[0].texts]
        if not figure.legends:
            return [], inside
        (legend,) = figure.legends
        texts = [legend.get_title(), *legend.get_texts()]
        return [text.get_text() for text in texts], inside

    return draw


def test_a_remark_stands_beside_the_data_set_of_which_it_is_true(drawn):
    legend, _ = drawn({"gated": [990, 3], "real": [1, 2]})
    assert legend == ["", "gated, simulated patients: 993 boxes", "real: 3 boxes"]


def test_a_remark_is_drawn_where_there_is_no_box(drawn):
    legend, _ = drawn({"gated": [0, 0], "real": [1, 2]})
    assert legend == ["gated, simulated patients: no labelled box", "real: 3 boxes"]


def test_without_any_box_it_stands_in_the_picture(drawn):
    none = "gated, simulated patients: no labelled box"
    assert drawn({"gated": [0, 0]}) == ([], [none])
