"""What the doctor says of a folder, and its exit codes."""

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from tests.image_sets import picture, small, voc, voc_set
from tqgd_jax.commands import check
from tqgd_jax.report import size_histogram


def run(capsys, *words: str) -> tuple[int, str]:
    code = check.main(list(words))
    return code, capsys.readouterr().out


def test_a_clean_folder(tmp_path, capsys):
    code, text = run(capsys, str(small(tmp_path)))
    assert code == 0
    rows = {row[:10].strip(): row[10:] for row in text.splitlines()}
    assert rows["format"] == "voc"
    assert rows["classes"] == "cac, other"
    assert rows["split"] == "train 5, test 2 (from: csv)"
    assert rows["no boxes"] == "2 images, 0 of them without annotation file"
    # a, b, b, d, e, t1 of seven images
    assert rows["boxes"] == "6; per image 0 to 2, median 1"
    assert "6 of 30x20 px, grey, uint8" in text
    assert "1 of 26x24 px, grey, uint8" in text
    # 28 px (4x7) four times, 10.5x5.25 = 55 px, 30x20 = 600 px
    counts = re.findall(r"^ +(\S.*) px +(\d+) +#*$", text, re.MULTILINE)
    areas = [("0-10", "0"), ("10-100", "5"), ("100-200", "0"), (">200", "1")]
    assert counts == areas
    assert "problems: none" in text


def test_the_areas_are_drawn(tmp_path, capsys, monkeypatch):
    bars = {}
    draw = size_histogram.draw

    def seen(path, counts, *words):
        bars.update(counts)
        draw(path, counts, *words)

    monkeypatch.setattr(size_histogram, "draw", seen)
    folder, file = small(tmp_path / "set"), tmp_path / "new" / "areas.png"
    code, text = run(capsys, str(folder), "--picture", str(file))
    assert code == 0
    assert f"picture   {file}" in text
    with Image.open(file) as image:
        assert min(image.size) > 400
    assert bars["set"] == [0, 5, 0, 1]  # as `test_a_clean_folder` counts them
    assert len(bars) == 2


def test_bins_end_with_their_upper_edge():
    wh = np.array([[1, 1], [2, 5], [10, 10], [10, 10.1], [10, 20], [20, 20]], "f4")
    assert check.area_counts(wh) == [2, 1, 2, 1]


def test_recall_is_taken_at_the_image_size(tmp_path, capsys):
    # 2x2 in 32 px: no COCO anchor is within 4 times of it, but at 64 px it is 4x4
    root = voc_set(tmp_path, {c: [("x", 4, 4, 6, 6)] for c in "abcdefghij"}, h=8, w=32)
    _, text = run(capsys, str(root), "--image_size", "32")
    assert "recall 0.0000 (coco, heads 3,4,5, 32 px)" in text
    _, text = run(capsys, str(root), "--image_size", "64")
    assert "recall 1.0000 (coco, heads 3,4,5, 64 px)" in text


def test_recall_is_of_the_anchors_of_the_model(tmp_path, capsys):
    # 2x2 to 13x13 px at 32 px; every third box is tall
    boxes = {
        chr(97 + k): [("x", 1, 1, 3 + k, 3 + k * (1 + k % 3 // 2))] for k in range(12)
    }
    words = [str(voc_set(tmp_path, boxes, h=32, w=32)), "--image_size", "32"]
    _, text = run(capsys, *words, "--heads", "5", "--anchors", "coco")
    assert "recall 0.0000 (coco, heads 5, 32 px)" in text
    _, text = run(capsys, *words, "--heads", "5")  # auto
    assert "recall 1.0000 (kmeans, heads 5, 32 px)" in text
    _, text = run(capsys, *words, "--heads", "5", "--anchors", "2,2 4,4 9,9")
    assert "recall 1.0000 (given, heads 5, 32 px)" in text
    for heads, anchors, says in (
        ("2,3", "coco", "has anchors for P3 to P5 only"),
        ("3,4,5", "kmeans", "needs 9 boxes of different size"),
        ("5", "9,9", "must be 'auto', 'coco', 'kmeans' or 3 pairs"),
        ("P5", "coco", "levels such as 3,4,5, got 'P5'"),
        ("9", "coco", "model.heads"),
    ):
        code, text = run(capsys, *words, "--heads", heads, "--anchors", anchors)
        assert code == 2
        assert says in text


def test_every_problem_is_printed_with_its_line(tmp_path, capsys):
    small(tmp_path)
    voc(tmp_path / "annotations" / "a.xml", [("cac", 5, 5, 5, 9), ("z", -2, 0, 9, 9)])
    voc(tmp_path / "annotations" / "ghost.xml", [])
    picture(tmp_path / "images" / "extra.png")
    (tmp_path / "annotations" / "b.xml").write_text("<annotation>")
    path = tmp_path / "images" / "d.png"
    path.write_bytes(path.read_bytes()[:-30])
    code, text = run(capsys, str(tmp_path), "--classes", "cac,other")
    assert code == 1
    for row in (
        "problems: 1 degenerate, 1 missing_image, 1 not_in_split, 1 out_of_image, "
        "1 unknown_class, 2 unreadable",
        "\n  1 degenerate: box without area, or not a number\n",
        "\n  2 unreadable: file that cannot be read\n",
        "a.xml:3: degenerate",
        "a.xml:4: out_of_image",
        "a.xml:4: unknown_class: 'z'",
        "ghost.xml: missing_image",
        "extra.png: not_in_split",
        "b.xml:1: unreadable",
        "d.png: unreadable: truncated",
    ):
        assert row in text


def test_unusable_folders(tmp_path, capsys):
    assert run(capsys, str(tmp_path))[0] == 2
    assert run(capsys, str(tmp_path / "gone")) == (
        2,
        f"unusable: data.dir: no folder '{tmp_path / 'gone'}'; --config.data.dir=DIR "
        "(--data_dir=DIR in eval.py)\n",
    )
    small(tmp_path)
    code, text = run(capsys, str(tmp_path), "--image_size", "100")
    assert code == 2
    assert "multiple of 32" in text
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / "b.png")
    code, text = run(capsys, str(tmp_path))
    assert code == 2
    assert "b.png is RGB uint8" in text


def test_as_a_command(tmp_path):
    words = [sys.executable, "-m", "tqgd_jax", "check", str(small(tmp_path))]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        words, cwd=root, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    words += ["--format", "coco"]
    assert subprocess.run(words, cwd=root, capture_output=True).returncode == 2


def test_ct_is_told_with_scanners_spacing_and_what_the_crop_did(
    tmp_path, capsys, monkeypatch
):
    from tests.ct_sets import orcascore

    root = orcascore(tmp_path / "set", 2)
    with monkeypatch.context() as patch:
        looks = Mock(wraps=check.discover)
        patch.setattr(check, "discover", looks)
        assert check.main([str(root), "--crop", "none"]) == 0
    looks.assert_called_once()  # though two patients make no five folds
    text = capsys.readouterr().out
    assert "note      2 patients cannot make 5 folds" in text
    assert "2 scans of 2 patients" in text
    assert "spacing   3 x 0.5 mm" in text
    assert "scanners  TRV1: 1, TRV2: 1" in text
    assert "boxes     3; per image 0 to 2" not in text
    assert "boxes     3; per image 0 to 1" in text
    (root / "hearts.csv").write_text(
        "scan,z,x0,y0,x1,y1\nTRV1P1CTI,4,30,5,40,10\nTRV2P2CTI,0,0,0,48,40\n"
    )
    assert check.main([str(root), "--crop", "hearts.csv"]) == 0
    assert "would have cut 1 labelled boxes" in capsys.readouterr().out
    (root / "Training Set" / "Reference standard" / "TRV1P1R.mhd").unlink()
    assert check.main([str(root), "--crop", "none"]) == 1
    assert "1 no_mask" in capsys.readouterr().out
    assert check.main([str(root), "--crop", "middle"]) == 2
    assert "unknown value 'middle'" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 4])
def test_a_few_images_are_told_like_many(tmp_path, capsys, count):
    for k in range(count):
        picture(tmp_path / f"a{k}.png", value=k + 1)
        (tmp_path / f"a{k}.txt").write_text("0 .5 .5 .2 .2\n")
    code, text = run(capsys, str(tmp_path))
    assert code == 0
    assert (
        f"of {count} patients leave none for val; (0.7, 0.1, 0.2) needs about 10"
        in text
    )
    assert f"images    {count} of {count} patients" in text
    assert f"boxes     {count}; per image 1 to 1" in text
    code, text = run(capsys, str(tmp_path), "--hold_out", "0.9", "--split", "folds")
    assert (code, f"train {count} " in text) == (0, True)


def test_values_are_told_against_the_window(tmp_path, capsys):
    for k in range(10):
        pixels = np.arange(1200, dtype=np.uint16).reshape(30, 40) + 2896 - k
        Image.fromarray(pixels).save(tmp_path / f"a{k}.png")
        (tmp_path / f"a{k}.txt").write_text("0 .5 .5 .2 .2\n")
    code, text = run(capsys, str(tmp_path))
    assert (code, "values    2887 to 4095" in text) == (0, True)
    assert "0 to 65535 is shown, so images are nearly black" in text
    assert "set data.window=(0, 4095)" in text
    _, text = run(capsys, str(tmp_path), "--window", "0", "4095")
    assert "nearly black" not in text
