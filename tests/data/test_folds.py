"""Folds keep patients whole, balance them, and a manifest that leaks is refused."""

import itertools
import logging
import re
from collections import Counter

import numpy as np
import pytest

from tqgd_jax.data.split import folds
from tqgd_jax.data.split.fold_manifest import Fold, Manifest, read, write
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.folds import assign, check, disclaimer, parts


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
        sums = [0.0] * k
        for patient, fold in fold_of.items():
            sums[fold - 1] += column[patient]
        fair = sum(sums) / k
        cost += sum((x - fair) ** 2 / fair for x in sums) if fair else 0.0
    return cost


def fold_by_patient(manifest: Manifest) -> dict[str, int]:
    return {e.patient: e.fold for e in manifest.slices.values()}


def test_random_cohorts_keep_every_promise(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "folds.json"
    for _ in range(150):
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
    names, least = sorted(count), np.inf
    for places in itertools.product(range(1, k + 1), repeat=len(names)):
        patients = Counter(places)
        if len(patients) < k or max(patients.values()) - min(patients.values()) > 1:
            continue
        size = Counter()
        for name, fold in zip(names, places, strict=True):
            size[fold] += count[name]
        if max(size.values()) - min(size.values()) <= max(count.values()):
            fold_of = dict(zip(names, places, strict=True))
            least = min(least, imbalance(table, fold_of, k))
    return least


@pytest.mark.parametrize(("patients", "k"), [(8, 2), (9, 2), (7, 3), (6, 4)])
def test_small_cohorts_reach_the_best_that_brute_force_finds(patients, k):
    rng = np.random.default_rng(patients)
    ratios = []
    for _ in range(40):
        slices = cohort(rng, patients, int(rng.integers(2, 21)))
        reached = imbalance(columns(slices), fold_by_patient(assign(slices, k, 0)), k)
        least = best(slices, k)
        assert reached >= least - 1e-9
        ratios.append((reached + 1e-9) / (least + 1e-9))
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
    reached = imbalance(table, fold_by_patient(assign(slices, 5, 0)), 5)
    rng, places = np.random.default_rng(6), np.arange(32) % 5 + 1
    drawn = [
        imbalance(
            table, dict(zip(names, rng.permutation(places).tolist(), strict=True)), 5
        )
        for _ in range(5000)
    ]
    assert reached < min(drawn)


# Ten patients of three slices, the first of them with calcium in every other.
TEN = [
    Slice(f"P{p}_{k}", f"P{p}", f"{3 * p + k:064x}", 10.0 * (p % 2 and not k), "A")
    for p in range(10)
    for k in range(3)
]


def test_equal_patients_are_shared_out_exactly():
    (row,) = {str(f) for f in assign(TEN, 5, 0).summary}
    assert row == str(Fold(2, 6, 1, 10.0, {"A": 6}))


def test_a_patient_of_two_scanners_counts_for_both_and_no_calcium_is_no_error():
    free = [Slice(f"{p}{k}", p, "", 0.0, "AB"[k]) for p in "uvwxyz" for k in range(2)]
    for fold in assign(free, 3, 0).summary:
        assert fold == Fold(2, 4, 0, 0.0, {"A": 2, "B": 2})


def test_the_seed_draws_other_folds():
    assert len({str(fold_by_patient(assign(TEN, 5, s))) for s in range(5)}) > 1


def test_the_slice_level_leaks_and_says_so():
    leaky, whole = assign(TEN, 5, 0, "slice"), assign(TEN, 5, 0)
    assert [(f.slices, f.positive_slices) for f in leaky.summary] == [(6, 1)] * 5
    homes = {(e.patient, e.fold) for e in leaky.slices.values()}
    assert len(homes) > 10  # patients are in several
    assert assign(TEN[::-1], 5, 0, "slice") == leaky
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
        counts = [count[a, b, fold] for fold in range(1, 8)]
        assert max(counts) - min(counts) <= 1


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
    ("patients", "way_out"),
    [
        ("", "folds need at least 2 patients; add some, or data.split=ratio"),
        ("a", "folds need at least 2 patients; add some, or data.split=ratio"),
        ("ab", "use at most 2 folds, or data.split=ratio"),
    ],
)
def test_the_way_out_of_too_few_patients_is_one(patients, way_out):
    few = [Slice(f"{p}1", p, "", 0.0, "A") for p in patients]
    with pytest.raises(folds.TooFewError, match=f"{way_out}$"):
        assign(few, 5, 0)


def test_one_picture_under_two_patients_is_warned_of(caplog):
    slices = [*TEN]
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
def test_cohorts_that_make_no_folds_are_refused(change, arguments, message):
    slices = [TEN[0]._replace(**change), *TEN[1:]]
    with pytest.raises(ValueError, match=re.escape(message)):
        assign(slices, *arguments)


@pytest.mark.parametrize("fold", [0, 6])
def test_a_fold_that_is_not_there_is_refused(fold):
    with pytest.raises(ValueError, match=f"fold must be in 1..5, got {fold}"):
        parts(assign(TEN, 5, 0), fold)
