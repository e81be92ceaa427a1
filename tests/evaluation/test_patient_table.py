"""The csv of patients: every image belongs to one, and faults name their line."""

import numpy as np
import pytest

from tqgd_jax.evaluation.inputs.patient_table import apply, read
from tqgd_jax.structures.image import Image, Place


def image(name, **place):
    none, no = np.zeros((0, 4)), np.zeros(0, int)
    return Image(name, none, no, none, np.zeros(0), no, place=Place(**place))


@pytest.fixture
def table(tmp_path):
    def write_and_read(text, encoding="utf-8"):
        path = tmp_path / "p.csv"
        path.write_bytes(text.encode(encoding))
        return read(path)

    return write_and_read


TWO = [image("a.png", scanner="V"), image("b.png")]


def test_lines_find_their_images_by_name_or_id(table):
    actual, limits = apply(TWO, table("image,patient\n12,p1\na.png,p2\n"), [7, 12])
    assert [i.patient for i in actual] == ["p2", "p1"]
    assert actual[0].place.scanner == "V"  # what the csv does not say stays
    assert limits is None


def test_a_name_goes_before_an_id_of_the_same_text(table):
    images = [image("1"), image("2")]
    actual, _ = apply(images, table("image,patient\n1,p1\n2,p2\n"), [2, 1])
    assert [i.patient for i in actual] == ["p1", "p2"]


def test_one_line_for_a_scan_is_enough(table):
    images = [image("a", scan="s"), image("b", scan="s"), image("c", scan="t")]
    text = "scan,patient,scanner\ns,p,V1\nt,q,V2\n"
    actual, _ = apply(images, table(text))
    assert [i.patient for i in actual] == ["p", "p", "q"]
    assert actual[1].place == Place("p", "s", scanner="V1")


def test_every_column_is_read_and_others_are_named(table):
    text = (
        "Image;Patient;scan;z;scanner;fold;dz_mm;dy_mm;dx_mm;threshold;age;sex\n"
        'a.png;"p;1";s;-3;V1;2;3;0.5;0.25;0.4;61;f\n\n'
    )
    read_table = table(text, "utf-8-sig")
    (actual,), limits = apply([image("a.png")], read_table)
    spacing = (3.0, 0.5, 0.25)
    assert actual.place == Place("p;1", "s", -3, spacing, None, "V1", "2")
    assert limits == [0.4]
    assert read_table.note == "columns of p.csv that are not read: age, sex"


def test_a_missing_line_names_the_image(table):
    with pytest.raises(ValueError, match=r"no line for 1 of 2 images: 'b.png'"):
        apply(TWO, table("image,patient\na.png,p\n"))
    many = [image(f"{k}") for k in range(9)]
    with pytest.raises(ValueError, match=r"for 9 of 9 images: '0', '1', .* '4'; each"):
        apply(many, table("image,patient\nx,p\n"))
    with pytest.raises(ValueError, match=r"'a.png' \(scan ''\).*give images a 'scan'"):
        apply(TWO, table("scan,patient\nx,p\n"))


def test_a_line_of_no_image_is_named(table):
    text = "image,patient\na.png,p\nb.png,p\nc.png,p\n"
    with pytest.raises(ValueError, match=r"p.csv:4: the ground truth has no image 'c."):
        apply(TWO, table(text))


def test_an_image_named_twice_is_refused_by_name_and_by_id(table):
    with pytest.raises(ValueError, match=r"p.csv:3: the image 'a' stands in line 2"):
        table("image,patient\na,p\na,q\n")
    text = "image,patient\na.png,p\n7,q\nb.png,p\n"
    with pytest.raises(ValueError, match=r"p.csv:3: the image 7 is 'a.png' of line 2"):
        apply(TWO, table(text), [7, 12])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r":1: no column patient, scan; .* has patient and either image or"),
        ("image,name\na,b\n", r":1: no column patient; there are: image, name"),
        ("patient,z\na,1\n", r":1: no column scan; .*either image or scan"),
        ("image,patient\n", "no line below the header"),
        ("image,patient,patient\na,b,c\n", r":1: two columns are called 'patient'"),
        ("image,patient\na\n", r":2: no patient"),
        ("image,patient\na, \n", r":2: no patient"),
        ("image,patient\n,p\n", r":2: no image"),
        ("image,patient,z\na,p,1.5\n", r":2: z must be a whole number.*'1.5'"),
        (f"image,patient,z\na,p,{'9' * 400}\n", r":2: z must be a whole number"),
        ("image,patient,dz_mm\na,p,3\n", r":1: a spacing has three columns"),
        (
            "image;patient;dz_mm;dy_mm;dx_mm\na;p;3;0,5;0,5\n",
            r":2: dy_mm must be a positive number of mm with a decimal point.*'0,5'",
        ),
        ("image,patient,dz_mm,dy_mm,dx_mm\na,p,3,0,1\n", r":2: dy_mm .*got '0'"),
        ("image,patient,dz_mm,dy_mm,dx_mm\na,p,3,,1\n", r":2: dy_mm .*got ''"),
        ("image,patient,threshold\na,p,nan\n", r":2: threshold .*'nan'"),
        (
            "image,patient,threshold\na,p,0.5\nb,p,\n",
            r":3: no threshold, and other lines have one",
        ),
    ],
)
def test_a_fault_names_its_line(table, text, words):
    with pytest.raises(ValueError, match=words) as error:
        table(text)
    assert "p.csv" in str(error.value)
