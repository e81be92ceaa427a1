"""Time and memory of the referee.

    python -m bench.referee bootstrap   # 10,000 resamples of 40 patients, 500 lesions
    python -m bench.referee volume      # 2,000 slices of 300 detections each
    python -m bench.referee coverage    # how often nominal 95 % intervals hold the truth

`volume` counts without the reading of files. Each prints one line of JSON a figure.
"""

import json
import resource
import sys
import time

import numpy as np

from tqgd_jax.metrics import bootstrap
from tqgd_jax.metrics.image import Image, Place
from tqgd_jax.metrics.judge import Judge


def images(
    patients: int, slices: int, boxes: int, detections: int, seed: int = 0
) -> list[Image]:
    """Random slices of 512 x 512 px; a box is found with probability 0.8."""
    rng = np.random.default_rng(seed)
    count = patients * slices
    per_slice = rng.multinomial(boxes, np.full(count, 1 / count))
    found = []
    for i, n in enumerate(per_slice):
        corner = rng.uniform(0, 500, (n, 2))
        there = np.concatenate([corner, corner + rng.uniform(3, 15, (n, 2))], 1)
        hit = there[rng.random(n) < 0.8]
        near = hit + rng.normal(0, 0.4, hit.shape)
        corner = rng.uniform(0, 500, (max(detections - len(hit), 0), 2))
        far = np.concatenate([corner, corner + rng.uniform(3, 15, corner.shape)], 1)
        scores = np.concatenate([rng.beta(3, 1, len(hit)), rng.beta(1, 6, len(far))])
        place = Place(
            patient=f"p{i // slices:04d}", scan="1", z=i % slices, spacing=(3, 0.4, 0.4)
        )
        dets = np.concatenate([near, far])
        found.append(
            Image(
                f"slice {i}",
                there,
                np.zeros(n, int),
                dets,
                scores,
                np.zeros(len(dets), int),
                place=place,
            )
        )
    return found


def peak() -> float:
    """Highest resident memory so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(cohort: list[Image], repeats: int) -> dict[str, float]:
    """Seconds to match the cohort and to resample all its figures."""
    start = time.perf_counter(), time.process_time()
    judge = Judge(cohort, ["calcium"], 0.5)
    built = time.perf_counter()
    weights = bootstrap.resamples(len(judge.clusters), repeats, seed=0)
    bootstrap.numbers(judge.figures, weights, 0.95, judge.why)
    resampled = time.perf_counter(), time.process_time()
    for part in (judge.coco, judge.yolo, judge.facts, judge.outcomes):
        part()
    judge.curves(weights[:2000])
    end = time.perf_counter(), time.process_time()
    return {
        "patients": len(judge.clusters),
        "images": len(cohort),
        "boxes": sum(len(i.boxes) for i in cohort),
        "detections": sum(len(i.det_boxes) for i in cohort),
        "figures": len(judge.keys),
        "match_s": round(built - start[0], 2),
        "resample_s": round(resampled[0] - built, 2),
        "rest_s": round(end[0] - resampled[0], 2),
        "cpu_s": round(end[1] - start[1], 2),
        "peak_gib": round(peak(), 2),
    }


def coverage(patients: int, cohorts: int, repeats: int = 1000) -> dict[str, float]:
    """How often intervals of recall hold the truth, by three ways to make them.

    Patients differ in lesions (mean 12, most have few) and in how many are found.
    """
    truth = 8 / 11
    held: dict[str, int] = {"percentile": 0, "expanded": 0, "ours": 0}
    for seed in range(cohorts):
        rng = np.random.default_rng(seed)
        lesions = rng.poisson(rng.gamma(1.5, 8, patients)).astype(float)
        hits = rng.binomial(lesions.astype(int), rng.beta(8, 3, patients)).astype(float)
        weights = bootstrap.resamples(patients, repeats, seed)
        without = bootstrap.left_out(patients)
        values, fewer = ((w @ hits) / (w @ lesions) for w in (weights, without))
        intervals = {
            "percentile": np.quantile(values, (0.025, 0.975)),
            "expanded": bootstrap.interval(values, fewer[:0], patients),
            "ours": bootstrap.interval(values, fewer, patients),
        }
        for name, (low, high) in intervals.items():
            held[name] += bool(low <= truth <= high)
    return {"patients": patients, "cohorts": cohorts} | {
        name: round(count / cohorts, 4) for name, count in held.items()
    }


def main() -> None:
    """Runs what the command line names."""
    what = sys.argv[1] if len(sys.argv) > 1 else "bootstrap"
    if what == "bootstrap":
        print(json.dumps(timed(images(40, 4, 500, 10), 10_000)))
    elif what == "volume":
        print(json.dumps(timed(images(50, 40, 6000, 300), 2_000)))
    else:
        for patients in (10, 20, 40, 80):
            print(json.dumps(coverage(patients, 2_000)))


if __name__ == "__main__":
    main()
