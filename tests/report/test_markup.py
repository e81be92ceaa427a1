"""Tables as Markdown."""

from tqgd_jax.report.text import markup


def test_titles_of_columns_are_escaped_as_cells_are():
    text = markup.markdown_table("", ["", "b|ase", "a*b"], [["x", "1|2", "3"]])
    assert text.splitlines()[:3] == [
        r"|  | b\|ase | a\*b |",
        "| --- | ---: | ---: |",
        r"| x | 1\|2 | 3 |",
    ]
