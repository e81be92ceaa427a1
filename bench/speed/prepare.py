"""Times of each stage from scans to a prepared set, and the HU that come back.

python -m bench.speed.prepare --data_dir DIR  # orCaScore's layout, such as the CT phantom
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from bench import flags
from tqgd_jax.augment_values import to_unit
from tqgd_jax.config import Config, Data
from tqgd_jax.ct.heart import find_heart
from tqgd_jax.ct.lesions import lesion_boxes
from tqgd_jax.data.discover import scan_folder
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import hash_file
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.prepare import prepare
from tqgd_jax.io.volumes import read_mask, read_volume


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    out = run()
    return time.perf_counter() - start, out


def per_scan(scans: tuple[scan_folder.ScanFiles, ...]) -> dict[str, float]:
    """Seconds of each stage, over all scans, one after another."""
    spent = dict.fromkeys(("read scan", "read mask", "lesions", "heart", "hash"), 0.0)
    for scan in scans:
        t, volume = timed(lambda s=scan: read_volume(s.path, series=s.series))
        spent["read scan"] += t
        assert scan.mask is not None
        t, mask = timed(lambda m=scan.mask, v=volume: read_mask(m, v))
        spent["read mask"] += t
        t, _ = timed(lambda m=mask, v=volume: lesion_boxes(m, v.hu, v.spacing, 130))
        spent["lesions"] += t
        t, _ = timed(lambda v=volume: find_heart(v.hu, v.spacing))
        spent["heart"] += t
        t, _ = timed(lambda v=volume: [hashlib.sha256(s.tobytes()) for s in v.hu])
        spent["hash"] += t
    return spent


def hu_error(low: float, high: float) -> float:
    """Largest error of HU that went to the device and through the window and back."""
    hu = np.arange(int(low), int(high) + 1).astype(np.int16)
    unit = to_unit(jnp.asarray(hu), Data(hu_window=(low, high)))
    back = np.asarray(unit, np.float64) * (high - low) + low
    return float(np.abs(back - hu).max())


def main() -> None:
    args = flags.parser(__doc__, data_dir=...).parse_args()
    with tempfile.TemporaryDirectory() as cache:
        config = Config(data=Data(dir=str(args.data_dir), prepared_dir=cache))
        layout = discover(config.data)
        assert isinstance(layout.folder, scan_folder.ScanFolder)
        n = len(layout.folder.scans)
        print(f"| stage | s, {n} scans | ms a scan |\n|---|---|---|")
        rows = per_scan(layout.folder.scans)
        rows["hash of every file"] = timed(lambda: [*map(hash_file, layout.files)])[0]
        rows["all of it and the records"] = timed(lambda: prepare(config))[0]
        rows["open again"] = timed(lambda: open_data(config))[0]
        for stage, seconds in rows.items():
            print(f"| {stage} | {seconds:.2f} | {1000 * seconds / n:.0f} |")
        size = sum(f.stat().st_size for f in Path(cache).rglob("*") if f.is_file())
        print(f"\nprepared set: {size / 2**20:.0f} MiB")
    for low, high in ((-1200.0, 1800.0), (-150.0, 750.0)):
        error = hu_error(low, high)
        print(f"window {low:g} to {high:g}: largest error {error:.1e} HU")


if __name__ == "__main__":
    main()
