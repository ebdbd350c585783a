"""Two CPU processes train as one with the doubled batch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from tests.tiny_encoder import write_tiny_benchmark, write_tiny_dataset, write_tiny_encoder
from training import train
from training.run_record import TrainingRecord

REPO = Path(__file__).resolve().parent.parent


def stage(name: str, batch_size: int, **more) -> dict:
    return {
        "name": name,
        "sources": {"synthetic": {}},
        "batch_size": batch_size,
        "learning_rate": 0.001,
        "max_steps": 4,
        "augmentation": {"join": 0.5},
        **more,
    }


def recipe(batch_size: int) -> dict:
    """The library's loss, ours, and ours with hard negatives, in both directions or by tokens; 96 pairs, no dropout.

    `token_and_cosine`, the released one, is the loss of `token_match` and one more.
    """
    mined = {"negatives": {"kind": "mined", "count": 2, "pool": 8}}
    stages = [
        stage("library", batch_size, loss={"name": "mnrl"}),
        stage("library-hard", batch_size, loss={"name": "mnrl"}, **mined),
        stage("ours", batch_size, loss={"name": "masked_mnrl"}),
        stage("ours-hard", batch_size, loss={"name": "masked_mnrl", "symmetric": True}, **mined),
        stage("tokens-hard", batch_size, loss={"name": "token_and_cosine"}, **mined),
    ]
    return {"name": "processes", "precision": "fp32", "log_every": 1, "stages": stages}


def arguments(place: Path, out: str, batch_size: int) -> list[str]:
    path = place / f"{out}.yaml"
    path.write_text(yaml.safe_dump(recipe(batch_size)))
    inputs = ["--dataset", place / "dataset.csv", "--base-model", place / "encoder", "--out", place / out]
    inputs += ["--validation", place / "benchmarks", "--threads", 1]
    return [str(value) for value in ["--recipe", path, *inputs]]


@pytest.mark.parametrize(
    ("config", "kind", "cpu", "gpus", "processes"),
    [
        ("cpu.yaml", "NO", True, None, 1),
        ("one_gpu.yaml", "NO", False, "0", 1),
        ("multi_gpu.yaml", "MULTI_GPU", False, "all", 2),
        ("several_machines.yaml", "MULTI_GPU", False, "all", 16),
        ("two_cpu_processes.yaml", "MULTI_GPU", True, "all", 2),
    ],
)
def test_accelerate_reads_our_configs(config: str, kind: str, cpu: bool, gpus: str | None, processes: int):
    """It refuses a key that it does not know. The recipe alone says the precision."""
    read = load_config_from_file(str(REPO / "training" / "accelerate" / config))
    assert (read.distributed_type.value, read.use_cpu, read.gpu_ids, read.num_processes) == (kind, cpu, gpus, processes)
    assert read.mixed_precision == "no"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def launch(config: str, *more: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(REPO / "training" / "accelerate" / config), *map(str, more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=REPO, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )


def finish(*runs: subprocess.Popen) -> None:
    for run in runs:
        _, errors = run.communicate(timeout=600)
        assert run.returncode == 0, errors[-3000:]


@pytest.mark.slow
def test_two_processes_are_one_with_the_doubled_batch(tmp_path: Path):
    """The same 16 pairs a step, as 2 times 8 and as 16: losses and validation agree to 1e-4 in every step.

    The two processes belong to one machine, and then to two that share a folder, as far as `accelerate` can tell.
    """
    write_tiny_encoder(tmp_path / "encoder", dropout=0.0)
    write_tiny_dataset(tmp_path / "dataset.csv")
    write_tiny_benchmark(tmp_path / "benchmarks")
    words = ("-m", "training.train", *arguments(tmp_path, "two", 8))
    finish(launch("two_cpu_processes.yaml", "--main_process_port", free_port(), *words))
    words = ("-m", "training.train", *arguments(tmp_path, "machines", 8))
    meeting = ("--num_machines", 2, "--num_processes", 2, "--main_process_ip", "127.0.0.1")
    meeting += ("--main_process_port", free_port())
    finish(*[launch("several_machines.yaml", *meeting, "--machine_rank", rank, *words) for rank in (0, 1)])
    train.main(arguments(tmp_path, "one", 16))
    one = TrainingRecord.load(tmp_path / "one")
    assert (one.hardware.processes, len(one.losses)) == (1, 20)
    for out in ("two", "machines"):
        two = TrainingRecord.load(tmp_path / out)
        assert two.hardware.processes == 2
        assert [point.loss for point in two.losses] == pytest.approx([point.loss for point in one.losses], abs=1e-4)
        assert [point.step for point in two.validation] == [point.step for point in one.validation]
        for point, alone in zip(two.validation, one.validation, strict=True):
            assert point.metrics == pytest.approx(alone.metrics, abs=1e-4)


@pytest.mark.slow
def test_two_processes_average_seeds(tmp_path: Path):
    """Both processes train both seeds and one writes; neither waits for the other for ever."""
    write_tiny_encoder(tmp_path / "encoder", dropout=0.0)
    write_tiny_dataset(tmp_path / "dataset.csv")
    write_tiny_benchmark(tmp_path / "benchmarks")
    words = ("-m", "training.train", *arguments(tmp_path, "seeds", 8), "--seeds", 4, 9, "--max-steps", 1)
    finish(launch("two_cpu_processes.yaml", "--main_process_port", free_port(), *words))
    record = TrainingRecord.load(tmp_path / "seeds")
    assert (record.hardware.processes, record.steps, len(record.averaged)) == (2, 10, 2)
