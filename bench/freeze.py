"""What each command gives, for `diff`: `python -m bench.freeze --out OUT [--repo DIR]`.

Before a refactoring and after it:

    python -m bench.freeze --out /tmp/before     # --repo CHECKOUT of one without this file
    python -m bench.freeze --out /tmp/after
    diff -r /tmp/before/frozen /tmp/after/frozen     # no line: nothing has changed

The commands run on six simulated patients and the CPU, where training is the same to the
bit. One that is renamed gets its new words in `COMMANDS`; its name there stays. `frozen/`
has what each printed (`NAME.out`) and the text files that they wrote, without paths and
times, and in `sha256.txt` hashes of all else: pictures, pages, arrays of packed sets,
tensors of checkpoints. Few steps teach nothing, so detections of any score are kept.
"""

import hashlib
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from bench import flags


def files(folder, use=""):
    """Options that give the COCO files of one evaluation to another."""
    words = ("ground_truth", "detections")
    return " ".join(f"--{use}{word}=OUT/{folder}/{word}.json" for word in words)


DATA = """--config.data.dir=OUT/phantom --config.data.image_size=64 --config.seed=18
    --config.data.split=ratio --config.data.ratio="(0.5,0.17,0.33)"
    --config.data.hold_out=0 --config.train.tensorboard=False --config.eval.min_score=0
    --config.eval.max_detections=300 """
RUN = f"""train.py --config=configs/tqgdnet.py --workdir=OUT/run {DATA}
    --config.model.size=n --config.model.heads="(2,3)" --config.augment.min_side=0.5
    --config.model.anchors="2,2 3,3 4,4|4,5 6,6 9,9" --config.data.batch_size=2"""
HEART = f"train.py --config=configs/heart.py --workdir=OUT/heart {DATA}"
JUDGE = "-m tqgd_jax evaluate --bootstraps=100"
BRIGHT = '--config.data.window="(100,200)"'  # what is calcium is 0.5 or more of it
EXPORT = "-m tqgd_jax convert --data_dir=OUT/phantom"
SCORE = """-m tqgd_jax score --convention=all --spread
    --scan="OUT/phantom/Training Set/Images/TRV1P5CTI.mhd" """
MASK = '--mask="OUT/phantom/Training Set/Reference standard/TRV1P5R.mhd"'
COMMANDS = {  # OUT is the folder they write to; dry runs of all configs are added
    "phantom": "-m tqgd_jax phantom --out=OUT/phantom --patients=6 --slices=6 --size=128",
    "doctor": "-m tqgd_jax check OUT/phantom",
    "folds": "-m tqgd_jax folds --data_dir=OUT/phantom --out=OUT/folds.json",
    "pack": "-m tqgd_jax pack --data_dir=OUT/phantom --out=OUT/set.npz",
    "yolo": f"{EXPORT} --format=yolo --pixels=window8 {BRIGHT} --out=OUT/yolo",
    "voc": f"{EXPORT} --format=voc --out=OUT/voc",
    "coco": f"{EXPORT} --format=coco --out=OUT/coco",
    "doctor-images": "-m tqgd_jax check OUT/voc",
    "train": f"{RUN} --config.train.steps=3",
    "resume": f"{RUN} --config.train.steps=4",
    "eval": "eval.py --workdir=OUT/run --bootstraps=100",
    "eval-val": "eval.py --workdir=OUT/run --bootstraps=100 --split=val",
    "heart-train": f"{HEART} --config.train.steps=3",
    "heart-eval": "eval.py --workdir=OUT/heart --out=OUT/running",
    "heart-anew": "eval.py --workdir=OUT/heart --recalibrate=2",
    "heart-val": "eval.py --workdir=OUT/heart --recalibrate=2 --split=val",
    "heart": """-m tqgd_jax hearts --workdir=OUT/heart --data_dir=OUT/phantom --min_score=0
        --out=OUT/hearts.csv""",
    "doctor-heart": "-m tqgd_jax check OUT/phantom --crop=OUT/hearts.csv",
    "evaluate": f"""{JUDGE} {files("heart/eval-test")}
        {files("heart/eval-val", "validation_")} --out=OUT/boxes""",
    "evaluate-hu": f"""{JUDGE} {files("run/eval-test")} --threshold=0 --calibration=0.8
        --pixels=OUT/phantom --out=OUT/hu""",
    "evaluate-maps": f"""{JUDGE} --ground_truth=OUT/run/eval-test/ground_truth.json
        --probabilities=OUT/yolo/images --out=OUT/maps""",
    "pool": f"{JUDGE} --pool OUT/heart/eval-test OUT/heart/eval-val --out=OUT/pooled",
    "verify": "-m tqgd_jax evaluate --verify OUT/pooled",
    "compare": "-m tqgd_jax compare OUT/running OUT/heart/eval-test --out=OUT/compared",
    "score-mask": f"{SCORE} {MASK}",
    "score-whole": f"{SCORE} --whole",
}
TEXT = (".csv", ".json", ".jsonl", ".md", ".mhd", ".tex", ".txt", ".xml")
LEFT_OUT = (".lock", "SHA256SUMS", "speed.jsonl", "versions.json")
# Compiles in half the time.
XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def arrays(path):
    """What a file, or the `state` of a checkpoint, holds, by name."""
    if path.name == "state":
        orbax = ocp.Checkpointer(ocp.StandardCheckpointHandler())
        tree = orbax.restore(path, args=ocp.args.StandardRestore())
        return {jax.tree_util.keystr(p): x for p, x in jax.tree.leaves_with_path(tree)}
    if path.suffix == ".npz":
        return dict(np.load(path, allow_pickle=False))
    return {}


def freeze(work, frozen, plain):
    """Copies of all text files, hashes of all others."""
    with (frozen / "sha256.txt").open("w") as lines:
        for path in sorted(work.rglob("*")):
            here, state = path.relative_to(work), path.name == "state"
            if path.name in LEFT_OUT or "state" in here.parts[:-1]:
                continue
            if path.suffix in TEXT:
                (frozen / here).parent.mkdir(parents=True, exist_ok=True)
                (frozen / here).write_bytes(plain(path.read_bytes()))
            elif state or path.is_file():
                held = {k: np.asarray(x) for k, x in arrays(path).items()}
                kinds = {k: f"{x.dtype} {x.shape}".encode() for k, x in held.items()}
                parts = {k: kinds[k] + held[k].tobytes() for k in sorted(held)}
                for name, raw in (parts or {"": plain(path.read_bytes())}).items():
                    lines.write(f"{hashlib.sha256(raw).hexdigest()} {here} {name}\n")


def main():
    """Runs and freezes; the exit status is 1 if a command failed."""
    parser = flags.parser(__doc__, out=...)
    parser.add_argument("--repo", type=Path, default=Path(__file__).parents[1])
    args = parser.parse_args()
    out, repo = args.out.resolve(), args.repo.resolve()
    work, frozen = out / "work", out / "frozen"
    for folder in (work, frozen):
        folder.mkdir(parents=True)

    def plain(text):
        for path, name in ((work, b"OUT"), (repo, b"REPO")):
            text = text.replace(str(path).encode(), name)
        return re.sub(rb"\d\d:\d\d:\d\d", b"TIME", text)

    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    env |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": XLA, "TQGD_CACHE": f"{out}/cache"}
    configs = sorted(path.stem for path in repo.glob("configs/*.py"))
    dry = {f"dry-{c}": f"train.py --config=configs/{c}.py --dry_run" for c in configs}
    failed = 0
    for name, words in (COMMANDS | dry).items():
        begin = time.monotonic()
        command = [word.replace("OUT", str(work)) for word in shlex.split(words)]
        done = subprocess.run(
            [sys.executable, *command], cwd=repo, env=env, capture_output=True
        )
        (frozen / f"{name}.out").write_bytes(plain(done.stdout))
        print(f"{name}: {time.monotonic() - begin:.0f} s, status {done.returncode}")
        if done.returncode:
            failed = 1
            print(done.stderr.decode()[-2000:], file=sys.stderr)
    freeze(work, frozen, plain)
    sys.exit(failed)


if __name__ == "__main__":
    main()
