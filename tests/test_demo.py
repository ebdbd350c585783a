"""demo.py: a step counts as done only where its work is whole, and who stops the demo stops what it started."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import demo
from dataset_builder.contract import StageError
from training.run_record import TrainingRecord


def test_a_card_that_was_not_written_is_not_done(work):
    """Stopped between the label index and README.md, which is the library's or none; or before the index."""
    assert demo._has_card(work / "model")
    (work / "model/README.md").write_text("# SentenceTransformer\n")
    assert not demo._has_card(work / "model")
    (work / "model/README.md").unlink()
    assert not demo._has_card(work / "model")
    shutil.rmtree(work / "model/label_index")
    assert not demo._has_card(work / "model")


def test_results_of_a_model_that_was_trained_again_are_not_done(work):
    assert demo._measured(work / "model", work / "own.json")
    assert not demo._measured(work / "model", work / "nothing.json")
    record = TrainingRecord.load(work / "model")
    record.model_copy(update={"weights_sha256": "0" * 64}).save(work / "model")
    assert not demo._measured(work / "model", work / "own.json")


def test_a_step_that_failed_is_one_line_with_its_command():
    with pytest.raises(StageError, match=r"ended with code 2: python -m eval\.compare nothing\.json\. Mend it"):
        demo._run("eval.compare", "nothing.json", shown=False)


# As accelerate launch: a process that starts another one and waits for it.
LAUNCHER = """
import subprocess, sys
from pathlib import Path
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
Path("new").write_text(str(started.pid))
Path("new").rename("started")
started.wait()
"""
STOPPED = "import demo; demo._stop_on_signals(); demo._run('launcher')"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_what_a_step_has_started(repo, tmp_path, sent):
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    environment = {**os.environ, "PYTHONPATH": f"{repo}{os.pathsep}{tmp_path}"}
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    wait_until((tmp_path / "started").is_file)
    started = int((tmp_path / "started").read_text())
    process.send_signal(sent)
    process.wait(timeout=30)
    wait_until(lambda: not runs(started))


def wait_until(true, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def runs(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()
