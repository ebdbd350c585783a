"""Every test runs offline, with caches in a temporary folder and no network beyond loopback."""

import ipaddress
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from tests.browser_page import address, browser, page

__all__ = ["address", "browser", "page"]

REPO = Path(__file__).resolve().parent.parent

CACHES = tempfile.TemporaryDirectory(prefix="test-caches-")

# Before any library of Hugging Face is imported: they read these once.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Beside other workers of pytest-xdist each has a core of its own: threads that wait for each other spin.
os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else os.environ.get("OMP_NUM_THREADS", "2")
# A test neither reads nor leaves anything of the user's.
for name in ("HF_HOME", "HF_DATASETS_CACHE", "HF_MODULES_CACHE", "HF_EVALUATE_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
    os.environ[name] = str(Path(CACHES.name) / name.lower())
for secret in ("HF_TOKEN", "OPENAI_API_KEY"):
    os.environ.pop(secret, None)


def pytest_unconfigure():
    """Remove what the tests cached."""
    CACHES.cleanup()


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch):
    """Refuse connections beyond this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise OSError(f"a test tried to reach {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def repo() -> Path:
    return REPO


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny trained folder with results and dataset, after `model_card.build`."""
    from tests.card_folders import write_everything

    return write_everything(tmp_path_factory.mktemp("made"))


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    """A copy of the made folder to break."""
    return Path(shutil.copytree(made, tmp_path / "work"))
