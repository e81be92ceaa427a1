"""Pairs of image and annotation, formats, and COCO."""

import json
from pathlib import Path

import pytest

from tests.image_sets import config, picture, voc
from tqgd_jax.config import Config
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import index_dataset
from tqgd_jax.io import coco


def scan(cfg: Config):
    return index_dataset(cfg, discover(cfg.data))


def pairs(root: Path, **data: object) -> dict[str, str]:
    folder = discover(config(root, **data).data).folder
    label = {e.name: e.label for e in folder.entries}
    return {k: v.relative_to(root).as_posix() if v else "" for k, v in label.items()}


def test_annotations_are_found_by_stem_anywhere(tmp_path):
    picture(tmp_path / "JPEGImages" / "a.png")
    picture(tmp_path / "more" / "b.png")
    voc(tmp_path / "Annotations" / "a.xml", [])
    voc(tmp_path / "deep" / "er" / "b.xml", [])
    assert pairs(tmp_path) == {"a": "Annotations/a.xml", "b": "deep/er/b.xml"}


def test_equal_stems_are_told_apart_by_their_folders(tmp_path):
    for part in ("train", "test"):
        picture(tmp_path / "images" / part / "a.png")
    voc(tmp_path / "labels" / "train" / "a.xml", [])
    # the test image has none: the other one's must not be taken
    assert pairs(tmp_path) == {
        "images/train/a": "labels/train/a.xml",
        "images/test/a": "",
    }


def test_an_image_without_annotation_is_told_and_an_orphan_is_a_problem(tmp_path):
    a = picture(tmp_path / "a.png")
    orphan = voc(tmp_path / "b.xml", [])
    bitmap = tmp_path / "c.bmp"
    bitmap.write_bytes(b"BM")
    (tmp_path / "._a.png").write_bytes(b"left by macOS")
    problems = discover(config(tmp_path).data).folder.problems
    assert [(p.file, p.kind) for p in problems] == [
        (bitmap, "unsupported"),
        (a, "no_annotation"),
        (orphan, "missing_image"),
    ]


def test_two_images_of_one_name_are_refused(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.png").read_bytes())
    voc(tmp_path / "a.xml", [])
    with pytest.raises(ValueError, match="two images of one name"):
        discover(config(tmp_path).data)


@pytest.mark.parametrize("make", ["nothing", "images", "both"])
def test_a_folder_without_one_format_is_refused(tmp_path, make):
    says = "no images"
    if make != "nothing":
        picture(tmp_path / "a.png")
        says = "found: none; set data.format"
    if make == "both":
        voc(tmp_path / "a.xml", [])
        (tmp_path / "a.txt").write_text("")
        says = r"found: voc \(.*a\.xml\), yolo \(.*a\.txt\)"
    with pytest.raises(ValueError, match=says):
        discover(config(tmp_path).data)
    if make == "both":
        assert pairs(tmp_path, format="yolo") == {"a": "a.txt"}


def test_no_folder():
    with pytest.raises(ValueError, match="no folder '/nowhere'"):
        discover(config(Path("/nowhere")).data)


def yolo(root: Path, labels: dict[str, str]) -> Path:
    for part in ("train", "val"):
        for name in ("a", "b"):
            picture(root / "images" / part / f"{part}_{name}.png")
    (root / "labels" / "train").mkdir(parents=True)
    for name, text in labels.items():
        (root / "labels" / "train" / f"{name}.txt").write_text(text)
    return root


def test_yolo_set(tmp_path):
    yolo(tmp_path, {"train_a": "2 0.5 0.5 0.2 0.5\n"})
    index = scan(config(tmp_path))
    assert index.format == "yolo"
    assert index.classes == ("0", "1", "2")  # an index stays what it is
    assert {p: [i.name for i in of] for p, of in index.parts.items()} == {
        "train": ["train_a", "train_b"],
        "val": ["val_a", "val_b"],
    }
    # centre (15, 10) of 30x20, 6 wide, 10 high
    assert index.parts["train"][0].boxes.tolist() == [[12, 5, 18, 15]]
    assert index.parts["train"][0].labels.tolist() == [2]
    assert len(index.parts["train"][1].boxes) == 0
    assert {p.kind for p in index.problems} == {"no_annotation"}


def test_yolo_class_names(tmp_path):
    yolo(tmp_path, {"train_a": "1 .5 .5 .2 .5\n7 .5 .5 .2 .4"})
    (tmp_path / "labels" / "classes.txt").write_text("soft plaque\nbone\n")
    index = scan(config(tmp_path))
    assert index.classes == ("soft plaque", "bone")
    assert index.parts["train"][0].labels.tolist() == [1]
    assert [p.kind for p in index.problems if p.line] == ["unknown_class"]
    turned = scan(config(tmp_path, classes=("bone", "soft plaque")))
    assert turned.parts["train"][0].labels.tolist() == [0]


def coco_json(path: Path, images: list[tuple[int, str]], boxes: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "images": [
            {"id": k, "file_name": n, "height": 20, "width": 30} for k, n in images
        ],
        "categories": [{"id": 5, "name": "cac"}, {"id": 9, "name": "bone"}],
        "annotations": boxes,
    }
    path.write_text(json.dumps(document, indent=1))
    return path


def box(image: int, *bbox: float, **more: object) -> dict[str, object]:
    return {"image_id": image, "category_id": 5, "bbox": list(bbox)} | more


def test_coco_one_file_per_split(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / "images" / f"{name}.png")
    folder = tmp_path / "annotations"
    coco_json(
        folder / "instances_train.json",
        [(1, "a.png"), (2, "images/b.png")],
        [box(1, 1, 2, 4, 7), box(1, 0, 0, 3, 3, category_id=9)],
    )
    coco_json(folder / "instances_val.json", [(1, "c.png")], [])
    (tmp_path / "notes.json").write_text('{"by": "me"}')
    index = scan(config(tmp_path))
    assert index.format == "coco"
    assert index.mode == "json"
    assert index.problems == []
    assert index.classes == ("bone", "cac")
    a, b = index.parts["train"]
    assert a.boxes.tolist() == [[1, 2, 5, 9], [0, 0, 3, 3]]
    assert a.labels.tolist() == [1, 0]
    assert (b.name, len(b.boxes)) == ("b", 0)
    assert [i.name for i in index.parts["val"]] == ["c"]


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("instances_train2017.json", "train"),
        ("Validation.json", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("trainval.json", "train"),
        ("test-1.json", "test"),
        ("latest.json", None),
        ("constrained.json", None),
        ("intervals.json", None),
    ],
)
def test_the_part_of_a_json_is_a_whole_word_of_its_name(tmp_path, file, part):
    picture(tmp_path / "images" / "a.png")
    coco_json(tmp_path / file, [(1, "a.png")], [box(1, 1, 2, 4, 7)])
    index = scan(config(tmp_path, ratio=(1.0, 0.0, 0.0)))
    assert index.mode == ("json" if part else "ratio")
    assert list(index.parts) == [part or "train"]


def test_coco_problems_carry_their_line(tmp_path):
    picture(tmp_path / "a.png")
    stray = picture(tmp_path / "stray.png")
    boxes = [box(1, 1, 2, 4, 7), box(1, 5, 5, 0, 3), box(1, 0, 0, 9, 9, iscrowd=1)]
    path = coco_json(tmp_path / "all.json", [(1, "a.png"), (2, "gone.png")], boxes)
    lines = path.read_text().splitlines()
    starts = [
        k for k, row in enumerate(lines, 1) if row == "  {" and "image_id" in lines[k]
    ]
    index = scan(config(tmp_path, ratio=(1.0, 0.0, 0.0)))
    assert sorted((p.file, p.line, p.kind) for p in index.problems) == sorted(
        [
            (path, starts[1], "degenerate"),
            (path, starts[2], "crowd"),
            (path, 0, "missing_image"),
            (stray, 0, "not_in_split"),
        ]
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"annotations": [\n{]}', r"all\.json:2:2: not json"),
        ('{"annotations": ' + "[" * 200_000, r"all\.json: nested too deeply"),
        (
            '{"annotations": [], "images": []}',
            "all.json: no 'categories'; ground truth has",
        ),
        (
            '{"categories": [{"id": 1, "name": "a"}], "images": [{"id": 1, "file_name": '
            '"a.png"}],\n"annotations": [{"bbox": [1, 2, 3], "image_id": 1, '
            '"category_id": 1}]}',
            r"all\.json:2: annotations\[0\]: bbox must be four numbers",
        ),
        (
            '{"categories": [], "images": [],\n"annotations":\n[{"bbox": [1, 2, 3, 4],'
            ' "image_id": 3}]}',
            r"all\.json:3: annotations\[0\]: image_id 3 is none of",
        ),
    ],
)
def test_a_damaged_coco_file_says_where(tmp_path, text, says):
    picture(tmp_path / "a.png")
    path = tmp_path / "all.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        coco.read_coco(path)
    with pytest.raises(ValueError, match=says):
        scan(config(tmp_path))


def test_an_image_in_two_coco_files_is_refused(tmp_path):
    picture(tmp_path / "a.png")
    coco_json(tmp_path / "train.json", [(1, "a.png")], [])
    coco_json(tmp_path / "test.json", [(1, "a.png")], [])
    with pytest.raises(ValueError, match="is named twice"):
        scan(config(tmp_path, classes=("cac",)))
