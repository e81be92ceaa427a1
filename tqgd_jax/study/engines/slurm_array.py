"""Cells as a job array of Slurm: element i runs cell i of a list."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tqgd_jax.io import atomic
from tqgd_jax.study.design import Cell

SCRIPT = "slurm.sh"
TEMPLATE = """\
#!/bin/bash
#SBATCH --job-name=tqgd
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cpus}
{gpus}#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --output={output}
# The time of a job may be shorter than a cell: two minutes before its end the cell saves
# its state, and the job goes back into the queue.
cells=(
{cells}
)
srun --cpus-per-task={cpus} \\
  {python} -m tqgd_jax study cell "${{cells[SLURM_ARRAY_TASK_ID]}}" --out {root}
status=$?
if [ $status = 143 ]; then
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit $status
"""


def submit(
    todo: Sequence[Cell],
    root: Path,
    cpus: float,
    gpus: float | None,
    *,
    now: bool,
) -> str:
    """Writes the script of the array, and submits it `now`.

    Args:
      todo: cells.
      root: folder of the study, which all nodes see.
      cpus: cores of a cell.
      gpus: GPUs of a cell [none].
      now: or only write it, so that a partition or a time can be added.

    Returns:
      What was done, and what comes next.

    Raises:
      ValueError: there is nothing to do, a part of a GPU is asked for, or Slurm refuses
        the job.
    """
    if not todo:
        raise ValueError(f"{root}: no cell is left to run")
    if gpus and gpus != round(gpus):
        raise ValueError(f"--gpus: Slurm gives whole GPUs, got {gpus:g}")
    root = root.absolute()
    output = str(root).replace("%", "%%") + "/slurm-%A_%a.txt"
    text = TEMPLATE.format(
        last=len(todo) - 1,
        cpus=max(1, round(cpus)),
        gpus=f"#SBATCH --gres=gpu:{gpus:.0f}\n" if gpus else "",
        output=shlex.quote(output),
        # in the script, of which Slurm keeps a copy: another list may be written meanwhile
        cells="\n".join(shlex.quote(cell.name) for cell in todo),
        python=shlex.quote(sys.executable),
        root=shlex.quote(str(root)),
    )
    with atomic.file(root / SCRIPT) as partial:
        partial.write_text(text)
    command = ["sbatch", str(root / SCRIPT)]
    if not now:
        return (
            f"{root / SCRIPT}: {len(todo)} cells; submit it with: {shlex.join(command)}"
        )
    if shutil.which("sbatch") is None:
        raise ValueError(
            f"--submit: there is no sbatch on this machine; run on one that has it: "
            f"{shlex.join(command)}"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"sbatch refuses {root / SCRIPT}: {done.stderr.strip()}")
    return done.stdout.strip()
