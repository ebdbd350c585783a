"""The local LLM server: bad input in one line, and nothing left running."""

import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dataset_builder import local_server
from dataset_builder.contract import StageError

FAKE_SERVER = """
    import http.server, sys
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers(); self.wfile.write(b'{}')
        def log_message(self, *words): pass
    port = int(sys.argv[sys.argv.index('--port') + 1])
    http.server.HTTPServer(('127.0.0.1', port), Health).serve_forever()
"""


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "config.json").write_text("{}")
    return tmp_path / "llm"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a program of our own where `transformers` would be."""

    def place(code: str) -> None:
        program = tmp_path / "bin" / "transformers"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{textwrap.dedent(code)}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(local_server, "SERVER_PROGRAM", program)

    return place


def is_listening(base_url: str) -> bool:
    port = int(base_url.split(":")[2].split("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_serves_and_stops(model_folder, stand_in):
    stand_in(FAKE_SERVER)
    with local_server.serving(model_folder) as base_url:
        assert is_listening(base_url)
    assert not is_listening(base_url)


def test_stops_after_a_failure(model_folder, stand_in):
    stand_in(FAKE_SERVER)
    with pytest.raises(ValueError, match="boom"), local_server.serving(model_folder) as base_url:
        raise ValueError("boom")
    assert not is_listening(base_url)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stops_after_ctrl_c_and_kill(tmp_path, model_folder, stand_in, repo, sent, code):
    stand_in(FAKE_SERVER)
    script = (
        "import sys; from pathlib import Path; from dataset_builder import local_server;"
        f"local_server.SERVER_PROGRAM = Path({str(tmp_path / 'bin' / 'transformers')!r});"
        f"sys.exit(local_server.run_command(local_server.main, ['serve', {str(model_folder)!r}]))"
    )
    command = subprocess.Popen([sys.executable, "-c", script], cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    base_url = command.stdout.readline().decode().split()[1]
    assert is_listening(base_url)
    command.send_signal(sent)
    _, errors = command.communicate(timeout=120)
    assert command.returncode == code
    assert b"Traceback" not in errors
    assert not is_listening(base_url)


def test_names_a_server_that_ends(model_folder, stand_in, tmp_path):
    stand_in("import sys; print('weights are broken'); sys.exit(3)")
    with (
        pytest.raises(StageError, match=r"ended with code 3 \(weights are broken\)"),
        local_server.serving(model_folder, log=tmp_path / "log"),
    ):
        pass


def test_names_a_server_that_never_becomes_healthy(model_folder, stand_in, tmp_path):
    stand_in("import time; time.sleep(60)")
    start = time.monotonic()
    with (
        pytest.raises(StageError, match="not healthy after 1 s"),
        local_server.serving(model_folder, log=tmp_path / "log", timeout_s=1),
    ):
        pass
    assert time.monotonic() - start < 15


def test_names_a_port_in_use(model_folder, stand_in):
    stand_in(FAKE_SERVER)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StageError, match=f"port {port} is in use"), local_server.serving(model_folder, port=port):
            pass


def test_refuses_what_is_no_model(tmp_path):
    with pytest.raises(StageError, match="not a Transformers model folder"), local_server.serving(tmp_path):
        pass
    with pytest.raises(StageError, match="does not exist"):
        local_server.unpack_gguf(tmp_path / "none.gguf", tmp_path / "out")
    (tmp_path / "text.gguf").write_text("plain text")
    with pytest.raises(StageError, match="not a GGUF file"):
        local_server.unpack_gguf(tmp_path / "text.gguf", tmp_path / "out")
    assert not os.path.exists(tmp_path / "out")


def test_a_finished_folder_is_not_unpacked_again(model_folder, tmp_path):
    assert local_server.unpack_gguf(tmp_path / "gone.gguf", model_folder) == model_folder
