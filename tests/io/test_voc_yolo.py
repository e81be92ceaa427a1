"""Readers of boxes: what files say, and where they are wrong."""

from pathlib import Path

import numpy as np
import pytest

from tests.image_sets import voc
from tqgd_jax.io import voc_yolo
from tqgd_jax.io.voc_yolo import read_voc, read_yolo


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_voc_boxes_are_edges_as_written(tmp_path):
    read = read_voc(voc(tmp_path / "x.xml", [("cac", 1, 2, 5, 9), ("b", 0, 0, 1.5, 3)]))
    assert read.boxes.tolist() == [[1, 2, 5, 9], [0, 0, 1.5, 3]]
    assert read.names == ("cac", "b")
    assert read.lines == (3, 4)
    assert read.size == (20, 30)
    assert read.problems == ()


def test_voc_of_other_tools(tmp_path):
    # capitals, wrong file names, size 0, other order of tags, parts with boxes of their
    # own, an indented box
    text = """<?xml version="1.0"?>
<Annotation verified="no"><folder>Unknow</folder><filename>Unknow</filename>
<size><width>0</width><height>0</height><depth>1</depth></size>
<object><Difficult>0</Difficult>
  <part><name>head</name><bndbox><xmin>7</xmin><ymin>7</ymin><xmax>8</xmax>
  <ymax>8</ymax></bndbox></part>
  <bndbox>
    <ymin> 2.5 </ymin><xmin>1</xmin><ymax>4</ymax><xmax>3</xmax>
  </bndbox><name>a &amp; b</name>
</object></Annotation>"""
    read = read_voc(write(tmp_path / "x.xml", text))
    assert read.problems == ()
    assert read.boxes.tolist() == [[1, 2.5, 3, 4]]
    assert read.names == ("a & b",)
    assert read.lines == (7,)
    assert read.size is None


def test_voc_without_objects_is_an_image_without_boxes(tmp_path):
    read = read_voc(voc(tmp_path / "x.xml", []))
    assert read.boxes.shape == (0, 4)
    assert read.problems == ()


BOX = "<bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("<annotation>\n<object>\n", 3, "not XML"),
        ("", 1, "not XML"),
        ("<html></html>", 1, "the root is <html>"),
        (f"<annotation>\n<object>{BOX.format(1)}</object></annotation>", 2, "<name>"),
        ("<annotation><object><name>a</name></object></annotation>", 1, "<xmin>"),
        (
            f"<annotation>\n<object><name>a</name>\n{BOX.format('l')}</object></annotation>",
            3,
            "'l'",
        ),
        (
            '<!DOCTYPE a [<!ENTITY b "bbbb">]>\n<annotation>&b;</annotation>',
            1,
            "DOCTYPE",
        ),
    ],
)
def test_unreadable_voc_says_where(tmp_path, text, line, says):
    path = write(tmp_path / "x.xml", text)
    read = read_voc(path)
    (problem,) = read.problems
    assert problem.kind == "unreadable"
    assert problem.line == line
    assert says in problem.text
    assert str(problem).startswith(f"{path}:{line}: unreadable: ")
    assert len(read.boxes) == 0


def test_yolo_boxes_are_fractions(tmp_path):
    text = "1 0.5 0.25 0.2 0.1\n\n0 0.1 0.1 0.2 0.2\n"
    read = read_yolo(write(tmp_path / "x.txt", text), ("a", "b"))
    np.testing.assert_allclose(
        read.boxes, [[0.4, 0.2, 0.6, 0.3], [0, 0, 0.2, 0.2]], atol=1e-12
    )
    assert read.names == ("b", "a")
    assert read.lines == (1, 3)
    assert read.relative


def test_yolo_without_names_keeps_the_index(tmp_path):
    read = read_yolo(write(tmp_path / "x.txt", "3 .5 .5 .1 .1"))
    assert read.names == ("3",)
    named = read_yolo(tmp_path / "x.txt", ("a",))
    assert named.names == ("3",)


def test_an_empty_yolo_file_is_an_image_without_boxes(tmp_path):
    read = read_yolo(write(tmp_path / "x.txt", "\n"))
    assert read.boxes.shape == (0, 4)
    assert read.problems == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 .5 .5 .1 .1\n0 .5 .5 .1", "4 values"),
        ("0 .5 .5 .1 .1\n0 .5 .5 .1 .1 .9", "6 values"),
        ("0 .5 .5 .1 .1\n0.5 .5 .5 .1 .1", "'0.5'"),
        ("0 .5 .5 .1 .1\n0 .5 x .1 .1", "'x'"),
    ],
)
def test_unreadable_yolo_says_where(tmp_path, text, says):
    (problem,) = read_yolo(write(tmp_path / "x.txt", text)).problems
    assert problem[1:3] == (2, "unreadable")
    assert says in problem.text


def test_silly_sizes_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(voc_yolo, "MAX_BYTES", 10)
    for read in (read_voc, read_yolo):
        (problem,) = read(write(tmp_path / "x", "0 .5 .5 .1 .1")).problems
        assert "13 bytes, at most 10 are read" in problem.text
