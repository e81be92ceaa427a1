"""One rule for every csv: what it takes, what it refuses, and with which line."""

import pytest

from tqgd_jax.io.tables import box, read_table, require, write_table


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_header_says_what_parts_columns(tmp_path, delimiter, encoding):
    path = tmp_path / "t.csv"
    lines = (" name ,z,note", "Ä.png, 1 ,x;y\tz", "", ",,", "b.png,2")
    text = "\r\n".join(line.replace(",", delimiter) for line in lines[:1] + lines[2:])
    path.write_bytes(text.encode(encoding))
    assert read_table(path, ["name"]).rows == [
        (4, {"name": "b.png", "z": "2", "note": ""})  # ends early: the rest is empty
    ]
    path.write_bytes("\n".join(lines[:2]).encode(encoding))
    row = {"name": "Ä.png", "z": "1", "note": "x;y\tz"}
    assert read_table(path) == ([(2, row)], ["name", "z", "note"])  # values do not


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"t\.csv:1: no column name, z; there are: none\. Rule$"),
        (b"z,x\n", r"t\.csv:1: no column name; there are: z, x\. Rule$"),
        (b"name,z,z\n", r"t\.csv:1: two columns are called 'z'; remove one"),
        (b"name,z\na,1,2\n", r"t\.csv:2: more values than columns"),
        (b'name,z\na,1\n"b,2\n', r"t\.csv:3: no csv .*CSV UTF-8"),
        ("name,z\nä,1\n".encode("latin-1"), r"t\.csv: not UTF-8 .*CSV UTF-8"),
        ("name,z\nä,1\n".encode("utf-16"), r"t\.csv: not UTF-8 .*CSV UTF-8"),
        (None, r"t\.csv: cannot be read \(No such file .*check its name"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, words):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_table(path, ["name", "z"], "Rule")


def test_columns_that_nobody_reads_may_be_there_twice(tmp_path):
    columns = ["name", "note", "note"]
    require(tmp_path, columns, ["name"])
    with pytest.raises(ValueError, match="two columns are called 'note'"):
        require(tmp_path, columns, ["name"], known=["note"])


def test_a_box_has_four_numbers_and_an_inside():
    def row(text):
        return dict(zip(("x0", "y0", "x1", "y1"), text.split(","), strict=True))

    assert box("t.csv:2", row("1,-2,3.5,4")) == (1, -2, 3.5, 4)
    for text, words in (
        ("1,2,x,4", "is no box.*with a decimal point"),
        ("1,2,,4", "is no box"),
        ("1,2,nan,4", "not finite"),
        ("1,2,inf,4", "not finite"),
        ("3,2,1,4", "exchange corners"),
        ("1,2,3,2", "is empty"),
    ):
        with pytest.raises(ValueError, match=rf"^t\.csv:2: .*{words}"):
            box("t.csv:2", row(text))


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "t.csv"
    write_table(path, ("name", "x"), [('a,"b"', 0.1), ("two\nlines", 1), ("a\rb", "")])
    rows = [(list(row.values())) for _, row in read_table(path).rows]
    assert rows == [['a,"b"', "0.1"], ["two\nlines", "1"], ["a\rb", ""]]
    assert path.read_bytes().startswith(b'name,x\r\n"a,""b""",0.1\r\n')
