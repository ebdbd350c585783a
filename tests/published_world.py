"""A Hub with all four artifacts on it, published by the real commands from a tiny dataset and model."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.card import write_card
from dataset_builder.hub import project_version, tag_of
from dataset_builder.schema import DatasetManifest
from tests.card_folders import write_everything
from tests.hub_server import HubServer, User

REPO = Path(__file__).resolve().parent.parent
TOKEN = "hf_" + "PublishedTestToken0123456789"
TAG = tag_of(project_version())
MARKS = ("load_dataset(", "SentenceTransformer(", "evaluate.load(")
COMMANDS = {
    "dataset": ["dataset_builder.publish", "DATASET_DIR"],
    "model": ["model_card.publish", "MODEL_DIR"],
    "metric": ["eval.publish_metric"],
    "space": ["space.publish"],
}
NAMES = {
    "dataset": ("dataset", "ann/synthetic-esco-skill-sentences"),
    "model": ("model", "ann/esco-skill-biencoder"),
    "metric": ("space", "ann/r_precision_at_k"),
    "space": ("space", "ann/esco-skill-finder"),
}


@dataclass(frozen=True)
class World:
    """A hub, the folders that were published, and what each publish command said."""

    hub: HubServer
    root: Path
    said: dict[str, str]

    def run(self, command: list[str], cache: Path, token: str = "") -> subprocess.CompletedProcess[str]:
        """A new process with an empty cache that knows the local Hub only."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {
            "HF_ENDPOINT": self.hub.url, "HF_HOME": str(cache), "XDG_CACHE_HOME": str(cache),
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "2",
        }  # fmt: skip
        if token:
            environment["HF_TOKEN"] = token
        command = [sys.executable, *map(self.place, command)]
        return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)

    def place(self, word: str) -> str:
        """The folder for its name in a command."""
        return {"DATASET_DIR": str(self.root / "data"), "MODEL_DIR": str(self.root / "model")}.get(word, word)


@contextmanager
def published(root: Path) -> Iterator[World]:
    """Build dataset, model and card under `root`, publish everything, and keep the Hub running."""
    write_everything(root, project_version())
    write_card(root / "data", DatasetManifest.load(root / "data"))
    (root / "model" / "optimizer.pt").write_bytes(b"left behind by training")
    with HubServer(root / "hub", {TOKEN: User("ann", ("lab",))}) as hub:
        made = World(hub, root, {})
        for what in COMMANDS:
            done = made.run(["-m", *COMMANDS[what]], root / "cache-of-the-publisher", TOKEN)
            assert done.returncode == 0, done.stderr
            made.said[what] = done.stdout + done.stderr
        yield made


def snippets_of(text: str) -> dict[str, str]:
    """The fenced Python blocks that open a published artifact, by what they call."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return {f"{mark} {n}": block for n, block in enumerate(blocks) for mark in MARKS if mark in block}


def document() -> str:
    """README.md."""
    return (REPO / "README.md").read_text(encoding="utf-8")


def wait_for(url: str, process: subprocess.Popen[str], seconds: float = 300) -> bytes:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, process.stdout.read()
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} did not answer in {seconds} s")
