"""Folds keep patients whole, balance them, and a manifest that leaks is refused."""

import itertools
import json
import logging
import re
from collections import Counter

import numpy as np
import pytest

from tqgd_jax.data.split import folds
from tqgd_jax.data.split.fold_manifest import Fold, Manifest, read, write
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.folds import assign, check, disclaimer, parts
from tqgd_jax.io import atomic


def cohort(rng: np.random.Generator, patients: int, most: int) -> list[Slice]:
    """1 to `most` slices each, a third of the patients free, a few with most calcium."""
    scanners = "ABCD"[: rng.integers(1, 5)]
    out = []
    for p in range(patients):
        scanner = scanners[rng.integers(len(scanners))]
        burden = rng.lognormal(3, 2) * (rng.random() < 0.67)
        for k in range(rng.integers(1, most + 1)):
            load = float(burden * rng.random() * (rng.random() < 0.4))
            mark = f"{len(out):064x}"
            out.append(Slice(f"P{p}_{k}", f"P{p}", mark, load, scanner))
    return out


Column = dict[str, float]


def columns(slices: list[Slice]) -> list[Column]:
    """By patient, what docs/design/0011-folds.md balances, in plain Python."""
    patients = sorted({s.patient for s in slices})
    of = {p: [s for s in slices if s.patient == p] for p in patients}
    load = {p: sum(s.load for s in of[p]) for p in patients}
    some = sorted(v for v in load.values() if v > 0)
    low, high = (some[(len(some) - 1) * i // 3] if some else 0 for i in (1, 2))
    kind = {p: (v > 0) + (v > low) + (v > high) for p, v in load.items()}
    positive = {p: sum(s.load > 0 for s in of[p]) for p in patients}
    mean = max(1, sum(positive.values())) / len(patients)
    return [
        {p: len(of[p]) * len(patients) / len(slices) for p in patients},
        {p: positive[p] / mean for p in patients},
        *({p: float(kind[p] == c) for p in patients} for c in range(4)),
        *(
            {p: sum(s.scanner == name for s in of[p]) / len(of[p]) for p in patients}
            for name in sorted({s.scanner for s in slices})
        ),
    ]


def imbalance(table: list[Column], fold_of: dict[str, int], k: int) -> float:
    """Pearson's statistic over folds and columns."""
    cost = 0.0
    for column in table:
        there = [0.0] * k
        for patient, fold in fold_of.items():
            there[fold - 1] += column[patient]
        fair = sum(there) / k
        cost += sum((x - fair) ** 2 / fair for x in there) if fair else 0.0
    return cost


def fold_by_patient(manifest: Manifest) -> dict[str, int]:
    return {e.patient: e.fold for e in manifest.slices.values()}


def test_500_random_cohorts_keep_every_promise(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "folds.json"
    for _ in range(500):
        k = int(rng.integers(2, 11))
        slices = cohort(rng, int(rng.integers(max(5, k), 61)), int(rng.integers(1, 41)))
        seed = int(rng.integers(1000))
        manifest = assign(slices, k, seed)

        homes = {(e.patient, e.fold) for e in manifest.slices.values()}
        patients = Counter(fold for _, fold in homes)
        assert len(homes) == len({s.patient for s in slices})  # one fold for each
        assert sorted(patients) == list(range(1, k + 1))
        assert max(patients.values()) - min(patients.values()) <= 1
        count = Counter(e.fold for e in manifest.slices.values())
        largest = max(Counter(s.patient for s in slices).values())
        assert max(count.values()) - min(count.values()) <= largest

        tested = Counter()
        for fold in range(1, k + 1):
            part_of = parts(manifest, fold)
            assert part_of.keys() == {s.name for s in slices}
            test = {s.patient for s in slices if part_of[s.name] == "test"}
            train = {s.patient for s in slices if part_of[s.name] == "train"}
            assert not test & train
            tested.update(test)
        assert set(tested.values()) == {1}

        shuffled = [slices[i] for i in rng.permutation(len(slices))]
        assert assign(shuffled, k, seed) == manifest
        write(manifest, path)
        assert read(path) == manifest
        check(manifest, shuffled, path)
    assert [f.name for f in tmp_path.iterdir()] == ["folds.json"]


def best(slices: list[Slice], k: int) -> float:
    """The least imbalance of all assignments that keep what `assign` promises."""
    table, count = columns(slices), Counter(s.patient for s in slices)
    names, found = sorted(count), np.inf
    for places in itertools.product(range(1, k + 1), repeat=len(names)):
        patients = Counter(places)
        if len(patients) < k or max(patients.values()) - min(patients.values()) > 1:
            continue
        size = Counter()
        for name, fold in zip(names, places, strict=True):
            size[fold] += count[name]
        if max(size.values()) - min(size.values()) <= max(count.values()):
            fold_of = dict(zip(names, places, strict=True))
            found = min(found, imbalance(table, fold_of, k))
    return found


@pytest.mark.parametrize(("patients", "k"), [(8, 2), (9, 2), (7, 3), (6, 4)])
def test_small_cohorts_reach_the_best_that_brute_force_finds(patients, k):
    rng = np.random.default_rng(patients)
    ratios = []
    for _ in range(40):
        slices = cohort(rng, patients, int(rng.integers(2, 21)))
        found = imbalance(columns(slices), fold_by_patient(assign(slices, k, 0)), k)
        least = best(slices, k)
        assert found >= least - 1e-9
        ratios.append((found + 1e-9) / (least + 1e-9))
    assert max(ratios) < 1.05
    assert sum(ratio < 1 + 1e-6 for ratio in ratios) >= 38


def test_no_balance_of_classes_buys_a_spread_above_the_largest_patient():
    """Large a, b, small c, d; a and c share a scanner, a and d the class.

    {a, b} and {c, d} balance all but slices, 20 to 2 of 5.5 a patient: 2.7.
    {a, c} and {b, d} have 11 slices each and a scanner each: 2 * 2 * (2 - 1)^2 / 1 = 4.
    """
    slices = [
        Slice(f"{p}{k}", p, "", 5.0 * (p in "bc" and k == 0), "A" if p in "ac" else "B")
        for p, n in (("a", 10), ("b", 10), ("c", 1), ("d", 1))
        for k in range(n)
    ]
    table = columns(slices)
    assert imbalance(table, {"a": 1, "b": 1, "c": 2, "d": 2}, 2) == pytest.approx(
        (18 / 11) ** 2
    )
    assert imbalance(table, {"a": 1, "c": 1, "b": 2, "d": 2}, 2) == pytest.approx(4)
    assert [f.slices for f in assign(slices, 2, 0).summary] == [11, 11]


def test_a_larger_cohort_beats_5000_draws_at_random():
    slices = cohort(np.random.default_rng(5), 32, 20)
    table, names = columns(slices), sorted({s.patient for s in slices})
    found = imbalance(table, fold_by_patient(assign(slices, 5, 0)), 5)
    rng, places = np.random.default_rng(6), np.arange(32) % 5 + 1
    drawn = [
        imbalance(
            table, dict(zip(names, rng.permutation(places).tolist(), strict=True)), 5
        )
        for _ in range(5000)
    ]
    assert found < min(drawn)


@pytest.fixture
def slices() -> list[Slice]:
    """Ten patients of three slices, the first of them with calcium in every other."""
    return [
        Slice(f"P{p}_{k}", f"P{p}", f"{3 * p + k:064x}", 10.0 * (p % 2 and not k), "A")
        for p in range(10)
        for k in range(3)
    ]


def test_equal_patients_are_shared_out_exactly(slices):
    (row,) = {str(f) for f in assign(slices, 5, 0).summary}
    assert row == str(Fold(2, 6, 1, 10.0, {"A": 6}))


def test_a_patient_of_two_scanners_counts_for_both_and_no_calcium_is_no_error():
    free = [Slice(f"{p}{k}", p, "", 0.0, "AB"[k]) for p in "uvwxyz" for k in range(2)]
    for fold in assign(free, 3, 0).summary:
        assert fold == Fold(2, 4, 0, 0.0, {"A": 2, "B": 2})


def test_the_seed_draws_other_folds(slices):
    assert len({str(fold_by_patient(assign(slices, 5, s))) for s in range(5)}) > 1


def test_the_slice_level_leaks_and_says_so(slices):
    leaky, whole = assign(slices, 5, 0, "slice"), assign(slices, 5, 0)
    assert [(f.slices, f.positive_slices) for f in leaky.summary] == [(6, 1)] * 5
    homes = {(e.patient, e.fold) for e in leaky.slices.values()}
    assert len(homes) > 10  # patients are in several
    assert assign(slices[::-1], 5, 0, "slice") == leaky
    assert disclaimer(whole) == ""
    assert disclaimer(leaky).startswith(
        "slice-level split: slices of one patient train and"
    )


def test_the_slice_level_deals_every_class_of_every_scanner_evenly():
    rng = np.random.default_rng(3)
    loads = [0.0, 1.0, 2.0, 3.0]  # the tertiles are 1, 2 and 3
    drawn = rng.integers(4, size=(3000, 2)).tolist()
    slices = [
        Slice(f"{i}", "P", "", loads[a], "ABCD"[b]) for i, (a, b) in enumerate(drawn)
    ]
    manifest = assign(slices, 7, 0, "slice")
    count = Counter((s.load, s.scanner, manifest.slices[s.name].fold) for s in slices)
    assert len(count) == 4 * 4 * 7
    for a, b in itertools.product(loads, "ABCD"):
        there = [count[a, b, fold] for fold in range(1, 8)]
        assert max(there) - min(there) <= 1


def test_thousands_of_patients_are_balanced_in_no_time():
    rng = np.random.default_rng(4)
    slices = [
        Slice(f"{i}", f"{i}", "", float(a), "AB"[b])
        for i, (a, b) in enumerate(rng.integers((4, 2), size=(6000, 2)).tolist())
    ]
    manifest = assign(slices, 5, 0)
    assert assign(slices[::-1], 5, 0) == manifest
    for fold in manifest.summary:
        fair = sum(s.scanner == "A" for s in slices) / 5
        assert abs(fold.scanners["A"] - fair) <= 8  # at most one for each of 8 kinds
        assert abs(fold.positive_slices - sum(s.load > 0 for s in slices) / 5) <= 8
        assert fold.patients == 1200


@pytest.mark.parametrize(
    ("patients", "says"),
    [
        ("", "folds need at least 2 patients; add some, or data.split=ratio"),
        ("a", "folds need at least 2 patients; add some, or data.split=ratio"),
        ("ab", "use at most 2 folds, or data.split=ratio"),
    ],
)
def test_the_way_out_of_too_few_patients_is_one(patients, says):
    few = [Slice(f"{p}1", p, "", 0.0, "A") for p in patients]
    with pytest.raises(folds.TooFewError, match=f"{says}$"):
        assign(few, 5, 0)


def test_a_slice_level_manifest_may_hold_a_patient_twice(slices, tmp_path):
    leaky = assign(slices, 5, 0, "slice")
    write(leaky, tmp_path / "f.json")
    assert read(tmp_path / "f.json") == leaky


def test_one_picture_under_two_patients_is_told(slices, caplog):
    slices[4] = slices[4]._replace(sha256=slices[0].sha256)
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        assign(slices, 2, 0)
    assert "1 slices have the very pixels of another patient's" in caplog.text
    assert "P1_1 (P0, P1)" in caplog.text


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, (11, 0), "10 patients cannot make 11 folds"),
        ({}, (31, 0, "slice"), "30 slices cannot make 31 folds"),
        ({}, (1, 0), "folds must be at least 2"),
        ({}, (2, -1), "seed at least 0"),
        ({}, (2, 0, "image"), "there are: patient, slice"),
        ({"name": "P0_1"}, (2, 0), "'P0_1' is there twice"),
        ({"load": -1.0}, (2, 0), "'P0_0' of patient 'P0': load"),
        ({"load": float("nan")}, (2, 0), "'P0_0' of patient 'P0': load"),
        ({"patient": ""}, (2, 0), "no empty names"),
    ],
)
def test_cohorts_that_make_no_folds_are_refused(slices, change, arguments, message):
    slices[0] = slices[0]._replace(**change)
    with pytest.raises(ValueError, match=re.escape(message)):
        assign(slices, *arguments)


@pytest.mark.parametrize("fold", [0, 6])
def test_a_fold_that_is_not_there_is_refused(slices, fold):
    with pytest.raises(ValueError, match=f"fold must be in 1..5, got {fold}"):
        parts(assign(slices, 5, 0), fold)


def first(said: dict) -> dict:
    return said["slices"]["P0_0"]


# What a careless editor or program may do to a manifest, and what must be said of it.
TAMPERED = [
    (lambda m: first(m).update(fold=first(m)["fold"] % 5 + 1), "'P0' is in two folds"),
    (lambda m: first(m).update(fold=6), "'P0_0': fold must be in 1..5"),
    (lambda m: first(m).update(fold=0), "'P0_0': fold must be in 1..5"),
    (lambda m: first(m).update(fold="1"), "fold must be of type int, got '1' (patient"),
    (lambda m: first(m).update(fold=True), "fold must be of type int, got True"),
    (lambda m: first(m).update(patient=7), "patient must be of type str, got 7"),
    (lambda m: first(m).update(patient=""), "patient not empty"),
    (lambda m: first(m).update(sha256=None), "sha256 must be of type str"),
    (lambda m: first(m).update(note="x"), "must have the fields"),
    (lambda m: first(m).pop("sha256"), "must have the fields"),
    (lambda m: m["slices"].update(P0_0=1), "must have the fields"),
    (lambda m: m["slices"].pop("P0_0"), "5 slices, the row says"),
    (lambda m: m.update(note="x"), "must have the fields"),
    (lambda m: m.pop("seed"), "must have the fields"),
    (lambda m: m.update(seed="0"), "seed must be of type int"),
    (lambda m: m.update(seed=-1), "seed at least 0"),
    (lambda m: m.update(level="image"), "got 5, 0, 'image'"),
    (lambda m: m.update(folds=1), "folds must be at least 2"),
    (lambda m: m.update(folds=4), "must be in 1..4"),
    (lambda m: m.update(folds=6), "6 folds, but 5 rows"),
    (lambda m: m.update(slices=[]), "slices must be of type dict"),
    (lambda m: m.update(version=2), "kind and version"),
    (lambda m: m.update(kind="other"), "kind and version"),
    (lambda m: m["summary"].pop(), "5 folds, but 4 rows"),
    (lambda m: m["summary"].reverse(), "summary row 1"),
    (lambda m: m["summary"][1].update(patients=3), "fold 2 has 2 patients"),
    (lambda m: m["summary"][1].update(load="much"), "load must be of type float"),
    (lambda m: m["summary"][1]["scanners"].update(A=6.0), "A must be of type int"),
]


@pytest.mark.parametrize(("change", "message"), TAMPERED)
def test_a_tampered_manifest_is_refused_by_name(slices, tmp_path, change, message):
    path = tmp_path / "folds.json"
    write(assign(slices, 5, 0), path)
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read(path)
    assert str(error.value).startswith(str(path))


def test_a_slice_named_twice_in_the_file_is_refused(slices, tmp_path):
    path = tmp_path / "folds.json"
    write(assign(slices, 5, 0), path)
    path.write_text(path.read_text().replace('"P0_1":', '"P0_0":'))
    with pytest.raises(ValueError, match="'P0_0' is there 2 times"):
        read(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "\x00"])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="make"):
        read(path)


def test_other_data_are_refused_with_counts_and_names(slices, tmp_path):
    manifest = assign(slices, 5, 0)
    other = [*slices[2:], Slice("new", "P0", "f" * 64, 0.0, "A")]
    other[0] = other[0]._replace(sha256="e" * 64)
    other[1] = other[1]._replace(patient="P9")
    with pytest.raises(ValueError, match="folds were made for other data") as error:
        check(manifest, other, tmp_path / "f.json")
    text = str(error.value)
    assert text.startswith(str(tmp_path / "f.json"))
    assert "2 slices missing in the data (P0_0, P0_1)" in text
    assert "1 slices not in the manifest (new)" in text
    assert "1 slices with other pixels (sha256) (P0_2)" in text
    assert "1 slices of another patient (P1_0)" in text
    with pytest.raises(
        ValueError, match=r"30 slices missing .*\(P0_0, P0_1, P0_2, ...\)"
    ):
        check(manifest, [], tmp_path / "f.json")


def test_a_failed_write_leaves_the_old_manifest(slices, tmp_path, monkeypatch):
    path = tmp_path / "folds.json"
    write(assign(slices, 5, 0), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(atomic, "flush", full)
    with pytest.raises(OSError, match="no space"):
        write(assign(slices, 2, 0), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
