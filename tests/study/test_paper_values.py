"""The differences that the errata quote are those of the paper's tables."""

import re

from tqgd_jax.study import paper_values

GAIN = re.compile(r"(\d\.\d) %[^(%]*\((\.\d{3}) - (\.\d{3})\)")


def test_gains_in_the_errata_are_differences_of_the_tables():
    known = {
        row[3]
        for of in (paper_values.CONCORD, paper_values.ORCASCORE)
        for row in of.values()
    }
    found = GAIN.findall(" ".join(paper_values.ERRATA))
    assert [gain for gain, _, _ in found] == ["1.6", "1.8", "3.8", "3.5"]
    for gain, high, low in found:
        assert {float(high), float(low)} <= known
        assert f"{100 * (float(high) - float(low)):.1f}" == gain
