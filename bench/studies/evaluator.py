"""Time and memory of the evaluator, and coverage of its intervals.

    python -m bench.studies.evaluator WHAT [COHORTS [KIND ...]]

    bootstrap   # 10,000 resamples of 40 patients, 500 lesions
    volume      # 2,000 slices of 300 detections each
    singles     # 2,000 slices, each of another patient
    command     # the same slices from json to report.html
    coverage    # how often nominal 95 % intervals hold the truth

`volume` counts without the reading and writing of files, `command` is the whole of
`tqgd evaluate` and then its `--verify`. Each prints one line of
JSON a figure.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import flags
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.matching.average_precision import areas, rank, yolo
from tqgd_jax.evaluation.statistics import bootstrap
from tqgd_jax.evaluation.statistics.weighted import ratio
from tqgd_jax.report.result_files import coco_detections, coco_ground_truth, json_bytes
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image, Place


def images(
    patients: int, slices: int, boxes: int, detections: int, seed: int = 0
) -> list[Image]:
    """Random slices of 512 x 512 px; a box is found with probability 0.8."""
    rng = np.random.default_rng(seed)
    count = patients * slices
    per_slice = rng.multinomial(boxes, np.full(count, 1 / count))
    slices_of_all = []
    for i, n in enumerate(per_slice):
        corner = rng.uniform(0, 500, (n, 2))
        true = np.concatenate([corner, corner + rng.uniform(3, 15, (n, 2))], 1)
        hit = true[rng.random(n) < 0.8]
        near = hit + rng.normal(0, 0.4, hit.shape)
        corner = rng.uniform(0, 500, (max(detections - len(hit), 0), 2))
        far = np.concatenate([corner, corner + rng.uniform(3, 15, corner.shape)], 1)
        scores = np.concatenate([rng.beta(3, 1, len(hit)), rng.beta(1, 6, len(far))])
        place = Place(
            patient=f"p{i // slices:04d}", scan="1", z=i % slices, spacing=(3, 0.4, 0.4)
        )
        dets = np.concatenate([near, far])
        labels = np.zeros(n, int), np.zeros(len(dets), int)
        slices_of_all.append(
            Image(f"slice {i}", true, labels[0], dets, scores, labels[1], place=place)
        )
    return slices_of_all


def peak() -> float:
    """Highest resident memory so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(cohort: list[Image], repeats: int) -> dict[str, float]:
    """Seconds to match the cohort and to resample all its figures."""
    start = time.perf_counter(), time.process_time()
    evaluator = Evaluator(cohort, ["calcium"], 0.5)
    built = time.perf_counter()
    weights = bootstrap.resamples(len(evaluator.clusters), repeats, seed=0)
    bootstrap.numbers(evaluator.figures, weights, 0.95, evaluator.why)
    resampled = time.perf_counter(), time.process_time()
    for part in (evaluator.coco, evaluator.yolo, evaluator.facts, evaluator.outcomes):
        part()
    evaluator.curves(weights[:2000])
    end = time.perf_counter(), time.process_time()
    return {
        "patients": len(evaluator.clusters),
        "images": len(cohort),
        "boxes": sum(len(i.boxes) for i in cohort),
        "detections": sum(len(i.det_boxes) for i in cohort),
        "figures": len(evaluator.keys),
        "match_s": round(built - start[0], 2),
        "resample_s": round(resampled[0] - built, 2),
        "rest_s": round(end[0] - resampled[0], 2),
        "cpu_s": round(end[1] - start[1], 2),
        "peak_gib": round(peak(), 2),
    }


def command(cohort: list[Image]) -> list[dict[str, Any]]:
    """Wall and processor seconds and peak memory of the command on files."""
    study = EvaluationSet(tuple(cohort), ("calcium",), (0.5,) * len(cohort))
    evaluate = (sys.executable, "-m", "tqgd_jax", "evaluate")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "ground-truth": coco_ground_truth(study),
            "detections": coco_detections(study),
        }
        words = ["--out", f"{folder}/out", "--threshold", "0.5"]
        for name, value in files.items():
            path = Path(folder) / f"{name}.json"
            path.write_bytes(json_bytes(value, indent=None))
            words += [f"--{name}", str(path)]
        for use in (words, ["--verify", f"{folder}/out"]):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            subprocess.run([*evaluate, *use], check=True, stdout=subprocess.DEVNULL)
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            rows.append(
                {
                    "command": use[0],
                    "wall_s": round(time.perf_counter() - start, 1),
                    "cpu_s": round(end.ru_utime - before.ru_utime, 1),
                    # of the largest child so far
                    "peak_gib": round(end.ru_maxrss / 2**20, 2),
                }
            )
    return rows


# Share of patients without lesions, Gamma shape and scale of the others' lesions, mean
# of false alarms. They have 12, 6 and 1.5 lesions a patient.
COHORTS = {
    "usual": (0.0, 1.5, 8.0, 4.0),
    "half without": (0.5, 1.5, 8.0, 4.0),
    "few": (0.5, 1.0, 3.0, 1.0),
}
FIGURES = ("recall", "f1", "ap50")


class Drawn(NamedTuple):
    """Patients of a simulation.

    Attributes:
      counts: hits, lesions and false alarms of each.
      hit: of the detections, most confident first.
      owner: patient of each detection.
    """

    counts: np.ndarray
    hit: np.ndarray
    owner: np.ndarray

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """`FIGURES` for each row of weights."""
        tp, lesions, fp = self.counts @ weights.T
        ranking = rank(self.hit, ~self.hit, self.owner, self.counts[1])
        f1 = ratio(2 * tp, tp + lesions + fp)
        values = (ratio(tp, lesions), f1, areas(ranking, weights, yolo))
        return dict(zip(FIGURES, values, strict=True))


def draw(rng: np.random.Generator, patients: int, kind: str) -> Drawn:
    """Patients who differ in lesions, in the share that is found and in false alarms."""
    none, shape, scale, alarms = COHORTS[kind]
    lesions = rng.poisson(rng.gamma(shape, scale, patients))
    lesions *= rng.random(patients) >= none
    hits = rng.binomial(lesions, rng.beta(8, 3, patients))
    false = rng.poisson(rng.gamma(1.0, alarms, patients))
    owner = np.arange(patients)
    owner = np.concatenate([np.repeat(owner, hits), np.repeat(owner, false)])
    hit = np.arange(len(owner)) < hits.sum()
    high, low = rng.beta(3, 1.5, len(owner)), rng.beta(1.2, 3, len(owner))
    order = np.argsort(-np.where(hit, high, low))
    counts = np.stack([hits, lesions, false]).astype(float)
    return Drawn(counts, hit[order], owner[order])


def coverage(
    patients: int, cohorts: int, kind: str = "usual", repeats: int = 600, seed: int = 0
) -> list[dict[str, Any]]:
    """How often intervals of each figure hold the truth, by three ways to make them.

    The truth is the figure of 100,000 patients. `none` is the share of cohorts that have
    no interval; `below` and `above` are those in which the truth lies below or above
    ours. With 2,000 cohorts a share of 0.95 has a standard error of 0.005.
    """
    crowd = draw(np.random.default_rng((seed, 0)), 100_000, kind)
    everybody = Drawn(crowd.counts.sum(axis=1)[:, None], crowd.hit, 0 * crowd.owner)
    truth = everybody.figures(np.ones((1, 1)))
    held = {name: Counter() for name in FIGURES}
    ones, without = np.ones((1, patients)), bootstrap.left_out(patients)
    for k in range(cohorts):
        drawn = draw(np.random.default_rng((seed, 1, k)), patients, kind)
        weights = bootstrap.resamples(patients, repeats, seed + k)
        for name, values in drawn.figures(
            np.concatenate([ones, without, weights])
        ).items():
            value, right = float(values[0]), float(truth[name][0])
            fewer, resampled = np.split(values[1:], [len(without)])
            why = bootstrap.no_interval(value, resampled, patients)
            if np.isnan(value) or why:
                held[name]["none"] += 1
                continue
            none, valid = fewer[:0], resampled[~np.isnan(resampled)]
            low, high = bootstrap.interval(value, resampled, fewer, patients)
            ends = {
                "percentile": np.quantile(valid, (0.025, 0.975)),
                "expanded": bootstrap.interval(value, resampled, none, patients),
                "ours": (low, high),
            }
            for way, (start, end) in ends.items():
                held[name][way] += start <= right <= end
            held[name]["below"] += right < low
            held[name]["above"] += right > high
    rows = []
    for name, counts in held.items():
        row = {"cohort": kind, "patients": patients, "figure": name}
        row |= {"truth": round(float(truth[name][0]), 4), "cohorts": cohorts}
        row["none"] = round(counts["none"] / cohorts, 4)
        of = max(1, cohorts - counts["none"])
        for way in ("percentile", "expanded", "ours", "below", "above"):
            row[way] = round(counts[way] / of, 4)
        rows.append(row)
    return rows


def main() -> None:
    """Runs what the command line names."""
    parser = flags.parser(__doc__)
    whats = ("bootstrap", "volume", "singles", "command", "coverage")
    parser.add_argument("what", choices=whats)
    parser.add_argument("cohorts", nargs="?", type=int, default=2_000)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(COHORTS)}")
    args = parser.parse_args()
    what = args.what
    if what == "bootstrap":
        print(json.dumps(timed(images(40, 4, 500, 10), 10_000)))
    elif what == "volume":
        print(json.dumps(timed(images(50, 40, 6000, 300), 2_000)))
    elif what == "singles":
        print(json.dumps(timed(images(2000, 1, 6000, 300), 2_000)))
    elif what == "command":
        for row in command(images(50, 40, 6000, 300)):
            print(json.dumps(row))
    else:
        for kind in args.kinds or COHORTS:
            for patients in (10, 20, 40):
                for row in coverage(patients, args.cohorts, kind):
                    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
