"""A study on a real Ray cluster and a real Slurm has the bytes of one on neither."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.study.test_study import CONFIG, environment, results, start, tqgd
from tqgd_jax.config import Config
from tqgd_jax.study.design import Cell
from tqgd_jax.study.engines import ray_cluster, slurm_array

CELLS = [f"ct/Y-FPN/fold-{k}/seed-0" for k in (1, 2, 3)]
STUDY = ("--config", "config.py", "--data", "ct=set", "--folds", "3")
# Two machines without GPUs; the second is lost on "kill".
CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
second = cluster.add_node(num_cpus=1, num_gpus=0)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
if input() == "kill":
    cluster.remove_node(second, allow_graceful=False)
    print("killed", flush=True)
    input()
cluster.shutdown()
"""
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed (requirements-cluster.txt)"
)
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
ABSENT = [name for name in DAEMONS if shutil.which(name) is None]
needs_slurm = pytest.mark.skipif(
    bool(ABSENT) or os.geteuid() != 0,
    reason=f"no {', '.join(ABSENT)}: apt-get install slurm-wlm"
    if ABSENT
    else "slurmd runs jobs as root alone",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A phantom, and a study on it that nobody disturbed, in `whole`."""
    home = tmp_path_factory.mktemp("engines")
    (home / "config.py").write_text(CONFIG)
    words = ["phantom", "--patients=6", "--slices=6", "--size=128", "--workers=1"]
    tqgd(home, *words, f"--out={home / 'set'}")
    tqgd(home, "study", "run", *STUDY, "--out", "whole")
    return home


def wait_for(true: Callable[[], object], seconds: float = 400) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def trains(folder: Path) -> list[int]:
    """How often each cell's training was started."""
    logs = sorted(folder.glob("*/*/*/*/log.txt"))
    return [log.read_text().count("tqgd_jax train") for log in logs]


@pytest.mark.slow
@needs_ray
def test_a_ray_cluster_loses_a_machine(home):
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        cwd="/",  # where no name of the study means anything
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    with cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        words = ["study", "run", *STUDY, "--out", "by-ray", "--engine=ray"]
        process = start(home, *words, "--address", address)
        folder = home / "by-ray"

        def both_train() -> bool:
            assert process.poll() is None, process.communicate()[1][-3000:]
            return len([*folder.glob("*/*/*/*/checkpoints/1")]) >= 2

        wait_for(both_train)
        print("kill", file=cluster.stdin, flush=True)
        assert cluster.stdout.readline() == "killed\n"
        out, errors = process.communicate(timeout=500)
        assert process.returncode == 0, out + errors[-3000:]
        print("end", file=cluster.stdin, flush=True)
    assert sorted(results(folder)) == CELLS
    assert results(folder) == results(home / "whole")
    assert sorted(trains(folder)) == [1, 1, 2]


@pytest.mark.slow
@needs_ray
def test_a_signal_gives_the_cells_of_ray_back(home):
    long = ["--config.train.steps=100000", "--out", "stopped", "--engine=ray"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as "&" of a shell does
    process = start(home, "study", "run", *STUDY, *long)
    signal.signal(signal.SIGINT, before)
    folder = home / "stopped"
    wait_for(lambda: process.poll() is not None or [*folder.rglob("checkpoints/1")])
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 143, errors[-3000:]
    assert errors.endswith("study: interrupted; the same command goes on\n")
    saved = [log for log in folder.rglob("log.txt") if "saved step" in log.read_text()]
    assert saved
    status = tqgd(home, "study", "status", "--out", "stopped").splitlines()
    assert status[1].split()[3] == "-"  # none runs on


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Iterator[None]:
    """A cluster of this machine, with a controller, a node and a key of its own."""
    for name in ("state", "spool", "cgroup"):
        (tmp_path / name).mkdir()
    (tmp_path / "key").write_bytes(secrets.token_bytes(128))
    (tmp_path / "key").chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    with contextlib.ExitStack() as free:
        sockets = [free.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        controller, node = (each.getsockname()[1] for each in sockets)
    (tmp_path / "slurm.conf").write_text(
        f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthInfo=socket={tmp_path}/munge,cred_expire=5
StateSaveLocation={tmp_path}/state
SlurmdSpoolDir={tmp_path}/spool
SlurmctldPidFile={tmp_path}/slurmctld.pid
SlurmdPidFile={tmp_path}/slurmd.pid
SlurmctldLogFile={tmp_path}/slurmctld.log
SlurmdLogFile={tmp_path}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=main Nodes={host} Default=YES
"""
    )
    # Slurm 22.05 wants a plugin that nothing here uses; in an empty folder it rests.
    (tmp_path / "cgroup.conf").write_text(
        f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={tmp_path}/cgroup\n"
    )
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    files = {"socket": "munge", "key-file": "key", "pid-file": "munge.pid"}
    files |= {"log-file": "munge.log", "seed-file": "seed"}
    words = [f"--{option}={tmp_path / name}" for option, name in files.items()]
    with contextlib.ExitStack() as daemons:
        for command in (
            ["munged", "--foreground", "--force", *words],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D"],
        ):
            daemon = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            daemons.callback(daemon.wait)
            daemons.callback(daemon.terminate)
            wait_for((tmp_path / "munge").exists, 30)
        daemons.callback(ask, "scancel", "--partition=main")  # where a test fails
        wait_for(lambda: "idle" in ask("sinfo", "--noheader"), 60)
        yield


def ask(*words: str) -> str:
    return subprocess.run(
        words, capture_output=True, encoding="utf-8", check=False
    ).stdout


@pytest.mark.slow
@needs_slurm
@pytest.mark.usefixtures("slurm")
def test_slurm_interrupts_and_requeues_the_elements_of_an_array(home):
    """One is warned, as before the end of its time; another is put back into the queue."""
    folder = home / "by slurm"
    words = [*STUDY, "--only", "fold-1", "fold-2", "--out", folder.name]
    said = tqgd(home, "study", "run", *words, "--engine=slurm", "--submit")
    array = said.split()[-1]
    for element, cell in enumerate(CELLS[:2]):
        wait_for((folder / cell / "checkpoints" / "1").exists)
        if element == 0:
            job = ask(
                "squeue", "--noheader", f"--jobs={array}_0", "--format=%A"
            ).strip()
            ask("scancel", "--signal=TERM", f"{job}.0")  # as --signal does
        else:
            ask("scontrol", "requeue", f"{array}_1")
    wait_for(lambda: not ask("squeue", "--noheader"))
    serial = results(home / "whole")
    assert results(folder) == {cell: serial[cell] for cell in CELLS[:2]}
    assert trains(folder) == [2, 2]
    warned = (folder / f"slurm-{array}_0.txt").read_text()
    assert "exit code 143" in warned
    assert "REQUEUE" in (folder / f"slurm-{array}_1.txt").read_text()


def test_the_script_of_an_array_has_its_cells_and_what_each_needs(tmp_path):
    cells = [Cell("set", name, 1, 0, Config()) for name in ("a", "$b")]
    root = tmp_path / "100 %"
    root.mkdir()
    said = slurm_array.submit(cells, root, 3, 2, now=False)
    script = root / "slurm.sh"
    assert said == f"{script}: 2 cells; submit it with: sbatch '{script}'"
    lines = script.read_text().splitlines()
    assert {"#SBATCH --array=0-1", "#SBATCH --cpus-per-task=3"} < {*lines}
    assert "#SBATCH --gres=gpu:2" in lines
    assert f"#SBATCH --output='{root}%/slurm-%A_%a.txt'" in lines
    first = lines.index("cells=(") + 1
    assert lines[first : first + 2] == [
        "set/a/fold-1/seed-0",
        "'set/$b/fold-1/seed-0'",
    ]
    subprocess.run(["bash", "-n", script], check=True)
    slurm_array.submit(cells, root, 1, None, now=False)
    assert "gres" not in script.read_text()
    with pytest.raises(ValueError, match=r"whole GPUs, got 0\.5"):
        slurm_array.submit(cells, root, 1, 0.5, now=False)
    with pytest.raises(ValueError, match="no cell is left"):
        slurm_array.submit([], root, 1, None, now=False)


def test_one_machine_of_ray_has_what_a_cell_needs():
    def machine(alive: bool, **resources: float) -> dict[str, object]:
        return {"Alive": alive, "Resources": resources}

    two = [machine(True, CPU=2.0, GPU=1.0), machine(True, CPU=4.0)]
    assert ray_cluster.needed(two, 2, None) == {"CPU": 2, "GPU": 1}
    assert ray_cluster.needed(two, 4, 0) == {"CPU": 4, "GPU": 0}
    assert ray_cluster.needed(two[1:], 4, None) == {"CPU": 4, "GPU": 0}
    for cpus, gpus in ((5, 0), (3, 1), (1, 2)):
        with pytest.raises(
            ValueError, match="2 CPU and 1 GPU, 4 CPU and 0 GPU; change"
        ):
            ray_cluster.needed(two, cpus, gpus)
    with pytest.raises(ValueError, match="of one machine"):
        ray_cluster.needed([machine(False, CPU=8.0)], 1, None)
