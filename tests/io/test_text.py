"""Text and folders of users: one rule for all readers."""

import logging

import pytest

from tqgd_jax.data.discover.image_folder import finder
from tqgd_jax.evaluation.inputs.detections import read as read_detections
from tqgd_jax.io import coco, walk
from tqgd_jax.io.tables import read_table
from tqgd_jax.io.text import last_place, read_text
from tqgd_jax.io.voc_yolo import read_voc, read_yolo
from tqgd_jax.structures.annotation import Entry

GERMAN = "Größe"


def of_yolo(file):
    return str(read_yolo(file).problems[0])


def of_voc(file):
    return str(read_voc(file).problems[0])


def raised(read):
    def message(file):
        with pytest.raises(ValueError, match="not UTF-8") as caught:
            read(file)
        return str(caught.value)

    return message


READERS = {
    "text": raised(read_text),
    "csv": raised(read_table),
    "coco": raised(coco.read_coco),
    "detections": raised(lambda file: read_detections(file, None)),
    "yolo": of_yolo,
    "voc": of_voc,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("encoding", "words"),
    [("latin-1", "not UTF-8 at byte 2"), ("utf-16", "iconv -f UTF-16 -t UTF-8")],
)
def test_another_encoding_is_refused_with_the_file(tmp_path, reader, encoding, words):
    file = tmp_path / "x.txt"
    file.write_bytes(GERMAN.encode(encoding))
    text = reader(file)
    assert str(file) in text
    if reader is not of_voc or encoding != "utf-16":  # which expat reads: it is no XML
        assert words in text


def test_a_byte_order_mark_is_no_text(tmp_path):
    file = tmp_path / "x.csv"
    file.write_bytes(b"\xef\xbb\xbfimage,split\r\na,train\r\n")
    assert read_table(file, ["image"]).rows == [(2, {"image": "a", "split": "train"})]
    label = tmp_path / "x.txt"
    label.write_bytes(b"\xef\xbb\xbf0.0 .5 .5 .1 .1\n")
    assert read_yolo(label).names == ("0",)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for read in (read_text, read_table, coco.read_coco):
        with pytest.raises(
            ValueError, match=r"away\.csv: cannot be read \(No such file"
        ):
            read(tmp_path / "away.csv")


@pytest.mark.parametrize(
    ("numbers", "unit"),
    [
        (["0.5", "0.001953"], 1e-6),
        (["1.953e-03"], 1e-6),
        ([1.5, 2.0, 10.25], 0.01),
        ([10.0, 2e20], 0),
        (["10.0"], 0.1),
        (["5", "12"], 0),
        ([], 0),
        (["nan", "inf"], 0),
    ],
)
def test_the_last_decimal(numbers, unit):
    assert last_place(numbers) == pytest.approx(unit)


def test_files_behind_links_are_found_and_dead_links_told(tmp_path, caplog):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.png").touch()
    root = tmp_path / "set"
    root.mkdir()
    (root / "p1").symlink_to(tmp_path / "store", target_is_directory=True)
    (root / "round").symlink_to(root, target_is_directory=True)
    (root / "b.png").symlink_to(tmp_path / "gone.png")
    (root / ".hidden.png").touch()
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        assert walk.files(root) == [root / "p1" / "a.png"]
    assert f"{root / 'b.png'}: a link to nothing" in caplog.text


@pytest.mark.parametrize("name", ["images\\A1.PNG", "images/a1.png", "..\\x\\a1.png"])
def test_a_list_may_write_names_as_windows_does(tmp_path, name):
    path = tmp_path / "images" / "a1.png"
    find = finder(tmp_path, [Entry(path, "a1", None)])
    if ".." not in name:
        assert find(name) == ["a1"]
    file = tmp_path / "x.json"
    text = (
        '{"images": [{"id": 1, "file_name": %r}], "annotations": [], "categories": []}'
    )
    file.write_text((text % name).replace("'", '"'), "utf-8")
    (entry,), problems = coco.entries(tmp_path, [file], {path: "a1"})
    assert (entry.path, problems) == (path, [])


def test_names_of_lists_are_found_in_any_case(tmp_path):
    (tmp_path / "imagesets" / "MAIN").mkdir(parents=True)
    file = tmp_path / "imagesets" / "MAIN" / "Train.txt"
    file.touch()
    assert walk.inside(tmp_path, "ImageSets", "Main", "train.txt") == file
    assert not walk.inside(tmp_path, "ImageSets", "Other", "train.txt").exists()
    (file.parent / "TRAIN.txt").touch()  # which of them?
    assert not walk.inside(file.parent, "train.txt").exists()


def test_two_names_that_differ_in_case_only_are_no_guess(tmp_path):
    entries = [Entry(tmp_path / f"{n}.png", n, None) for n in ("a", "A")]
    find = finder(tmp_path, entries)
    assert (find("a"), find("A")) == (["a"], ["A"])
    entries = [Entry(tmp_path / f"{n}.png", n, None) for n in ("aB", "Ab")]
    assert finder(tmp_path, entries)("ab") == []
