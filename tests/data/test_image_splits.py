"""Which images train, validate and test; patients stay together."""

import re
from pathlib import Path

import pytest

from tests.image_sets import config, picture, table, voc
from tqgd_jax.config import Config
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.discover.split_source import PARTS
from tqgd_jax.data.index_dataset import hash_file, index_dataset
from tqgd_jax.data.read import image_set, validation
from tqgd_jax.data.split import splits


def images(root: Path, *names: str) -> Path:
    for name in names:
        picture(root / f"{name}.png")
    voc(root / "annotations" / f"{Path(names[0]).name}.xml", [])
    return root


def split(cfg: Config) -> tuple[dict[str, list[str]], splits.Split]:
    layout = discover(cfg.data)
    rows, labels, _ = image_set.read(layout, cfg.data, hash_file)
    made = splits.split(layout, rows, cfg.data, cfg.seed, labels)
    parts: dict[str, list[str]] = {}
    for name, part in sorted(made.part_of.items()):
        parts.setdefault(part, []).append(name)
    return parts, made


def mode(cfg: Config) -> str:
    return discover(cfg.data).split.mode


def test_csv_names_with_and_without_suffix_or_folder(tmp_path):
    images(tmp_path, "images/a", "images/b", "images/c", "images/d")
    table(
        tmp_path, ["a,train", "b.png, Test", "images/c,validation", "images\\d.png,val"]
    )
    parts, made = split(config(tmp_path))
    assert parts == {"train": ["a"], "test": ["b"], "val": ["c", "d"]}
    assert mode(config(tmp_path)) == "csv"
    assert not made.seeded
    assert made.problems == []


def test_csv_and_folder_must_agree(tmp_path):
    images(tmp_path, "a", "b")
    path = table(tmp_path, ["a,train", "ghost,test"])
    cfg = config(tmp_path, classes=("x",))
    problems = index_dataset(cfg, discover(cfg.data)).problems
    assert [
        (p.file, p.line, p.kind) for p in problems if p.kind not in validation.INFO
    ] == [(path, 3, "missing_image"), (tmp_path / "b.png", 0, "not_in_split")]


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (["a,train", "a.png,test"], "image,split", "csv:3: 'a.png' is listed a second"),
        (["a,training"], "image,split", "split.csv:2: unknown split 'training'"),
        (["a,train"], "name,split", "split.csv:1: no column image; there are: name"),
        (["a,train"], "image,part", "split.csv:1: no column split; there are: image"),
        (["a,train,x"], "image,split", "split.csv:2: more values than columns"),
    ],
)
def test_a_bad_csv_is_refused_by_line(tmp_path, rows, head, message):
    images(tmp_path, "a")
    table(tmp_path, rows, head)
    with pytest.raises(ValueError, match=re.escape(message)):
        split(config(tmp_path))


def test_another_csv_by_name(tmp_path):
    images(tmp_path / "set", "a", "b")
    table(tmp_path / "set", ["a,train", "b,train"])
    other = tmp_path / "fold.csv"
    other.write_text("image,split\na,test\nb,train\n")
    parts, _ = split(config(tmp_path / "set", split=str(other)))
    assert parts == {"train": ["b"], "test": ["a"]}
    with pytest.raises(
        ValueError, match=r"no file 'fold7\.csv'; there are: auto, folds"
    ):
        split(config(tmp_path / "set", split="fold7.csv"))


def test_voc_image_sets(tmp_path):
    images(tmp_path, "JPEGImages/a", "JPEGImages/b", "JPEGImages/c d")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a  1\n")
    (lists / "trainval.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("b -1\n")
    (lists / "test.txt").write_text("c d\n\n")
    parts, _ = split(config(tmp_path))
    assert parts == {"train": ["a"], "val": ["b"], "test": ["c d"]}
    assert mode(config(tmp_path)) == "imagesets"
    for name in ("train", "val"):
        (lists / f"{name}.txt").unlink()
    assert split(config(tmp_path))[0] == {"train": ["a", "b"], "test": ["c d"]}


@pytest.mark.parametrize("style", ["{part}/images/{name}", "images/{part}/{name}"])
def test_folders(tmp_path, style):
    for part, name in (("train", "a"), ("valid", "a"), ("test", "b")):
        picture(tmp_path / f"{style.format(part=part, name=name)}.png")
    voc(tmp_path / "train" / "annotations" / "a.xml", [])
    parts, _ = split(config(tmp_path))
    full = {p: style.format(part=p, name="a") for p in ("train", "valid")}
    assert parts["train"] == [full["train"]]
    assert parts["val"] == [full["valid"]]
    assert parts["test"] == [style.format(part="test", name="b")]
    assert mode(config(tmp_path)) == "folders"


def patients(root: Path, n: int) -> Path:
    return images(root, *(f"p{k // 3:02d}_{k % 3}" for k in range(3 * n)))


def test_ratio_keeps_patients_together_and_shares(tmp_path):
    patients(tmp_path, 10)
    cfg = config(tmp_path, group=r"(p\d+)_")
    parts, made = split(cfg)
    where = {p: {name[:3] for name in of} for p, of in parts.items()}
    assert {p: len(of) for p, of in where.items()} == {"train": 7, "val": 1, "test": 2}
    assert {p: len(of) for p, of in parts.items()} == {"train": 21, "val": 3, "test": 6}
    assert made.seeded
    assert split(cfg)[0] == parts
    cfg.seed = 1
    assert split(cfg)[0] != parts


def test_ratio_that_leaves_a_part_empty(tmp_path):
    images(tmp_path, "a", "b", "c")
    with pytest.raises(ValueError, match=r"0\.1 of 3 patients leave none for val"):
        split(config(tmp_path))
    parts, _ = split(config(tmp_path, ratio=(0.67, 0.0, 0.33)))
    assert {p: len(of) for p, of in parts.items()} == {"train": 2, "test": 1}


def test_hold_out_moves_whole_patients(tmp_path):
    patients(tmp_path, 10)
    rows = [f"p{k // 3:02d}_{k % 3},{'train' if k < 24 else 'test'}" for k in range(30)]
    table(tmp_path, rows)
    cfg = config(tmp_path, group=r"(p\d+)_", hold_out=0.25)
    parts, made = split(cfg)
    assert {p: len(of) for p, of in parts.items()} == {"train": 18, "val": 6, "test": 6}
    assert not {n[:3] for n in parts["val"]} & {n[:3] for n in parts["train"]}
    assert made.seeded
    cfg.data.hold_out = 0.99
    with pytest.raises(ValueError, match="leaves none to train on"):
        split(cfg)


def test_hold_out_leaves_a_given_val_part_alone(tmp_path):
    images(tmp_path, "a", "b", "c")
    table(tmp_path, ["a,train", "b,train", "c,val"])
    parts, made = split(config(tmp_path, hold_out=0.5))
    assert parts == {"train": ["a", "b"], "val": ["c"]}
    assert not made.seeded


def test_a_patient_in_two_parts_is_refused(tmp_path):
    images(tmp_path, "p1_a", "p1_b", "p2_a")
    table(tmp_path, ["p1_a,train", "p1_b,test", "p2_a,train"])
    split(config(tmp_path))  # patients unknown
    with pytest.raises(ValueError, match=r"1 patients .*'p1' in \['test', 'train'\]"):
        split(config(tmp_path, group="(p[0-9]+)_"))


def test_a_ratio_by_csv_column(tmp_path):
    images(tmp_path, *"abcdef")
    table(
        tmp_path, [f"{c},{'xyz'[k // 2]}" for k, c in enumerate("abcdef")], "image,pat"
    )
    third = (0.34, 0.33, 0.33)
    parts, made = split(config(tmp_path, split="ratio", group="pat", ratio=third))
    assert sorted("".join(of) for of in parts.values()) == ["ab", "cd", "ef"]
    assert made.patient_of["d"] == "y"


def test_a_ratio_reads_the_group_column_unasked(tmp_path):
    patients(tmp_path, 10)
    rows = [f"p{k // 3:02d}_{k % 3},{'xyz'[k % 3]}" for k in range(30)]
    table(tmp_path, rows, "image,group")
    parts, _ = split(config(tmp_path, split="ratio", ratio=(0.34, 0.33, 0.33)))
    assert {p: len(of) for p, of in parts.items()} == dict.fromkeys(PARTS, 10)
    # the patient is what follows "_"
    assert all(len({name[-1] for name in of}) == 1 for of in parts.values())


TWICE = ["a,train,x", "b,test,x", "c,train,y"]


@pytest.mark.parametrize(
    ("group", "rows", "head", "message"),
    [
        ("", TWICE, "image,split,group", "in two parts"),  # the column counts unasked
        ("group", TWICE, "image,split,group", "in two parts"),
        ("pat", ["a,train,x", "b,train,"], "image,split,pat", r"csv:3: no pat for 'b'"),
        (
            "patient",
            [],
            "",
            "neither a column .* nor a regular expression with a group",
        ),
        ("(", [], "", "no regular expression"),
        ("z([0-9])", [], "", "finds no patient in the file name of .*a.png"),
    ],
)
def test_a_group_that_leaks_or_gives_no_patient_is_refused(
    tmp_path, group, rows, head, message
):
    images(tmp_path, "a", "b", "c")
    if rows:
        table(tmp_path, rows, head)
    with pytest.raises(ValueError, match=message):
        split(config(tmp_path, group=group))
