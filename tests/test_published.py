"""From nothing to published and used: the real commands and clients in new processes, with empty caches, over HTTP.

One transcript: build a tiny dataset and model, publish all four artifacts, then do what the README and the cards say.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataset_builder.hub import project_version, tag_of
from model_card.build import main as build_card
from tests.card_records import OTHER_RESULTS, own_results, write_dataset, write_esco, write_trained_model
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


@dataclass(frozen=True)
class World:
    """A hub, the folders that were published, and what each publish command said."""

    hub: HubServer
    root: Path
    said: dict[str, str]

    def run(self, command: list[str], cache: Path, token: str = "", **options) -> subprocess.CompletedProcess[str]:
        """A new process with an empty cache that knows the local Hub only."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {
            "HF_ENDPOINT": self.hub.url, "HF_HOME": str(cache), "XDG_CACHE_HOME": str(cache), "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "2",
        }  # fmt: skip
        paths = {"DATASET_DIR": str(self.root / "data"), "MODEL_DIR": str(self.root / "model")}
        command = [paths.get(word, word) for word in command]
        environment = {name: value for name, value in environment.items() if value}
        return subprocess.run(
            [sys.executable, *command], cwd=REPO, env=environment, capture_output=True, text=True, **options
        )

    def publish(self, what: str, *more: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
        return self.run(["-m", *COMMANDS[what], *more], self.root / "cache-of-the-publisher", token)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    version = project_version()
    model = write_trained_model(root / "model", version)
    (model / "optimizer.pt").write_bytes(b"left behind by training")
    own_results(model).save(root / "own.json")
    OTHER_RESULTS.save(root / "other.json")
    write_dataset(root / "data", version)
    write_esco(root / "v1.1.0")
    results = [str(root / "own.json"), str(root / "other.json")]
    build_card([str(model), "--results", *results, "--dataset", str(root / "data"), "--esco", str(root / "v1.1.0")])
    with HubServer(root / "hub", {TOKEN: User("ann", ("lab",))}) as hub:
        made = World(hub, root, {})
        for what in COMMANDS:
            done = made.publish(what)
            assert done.returncode == 0, done.stderr
            made.said[what] = done.stdout + done.stderr
        yield made


NAMES = {
    "dataset": ("dataset", "ann/synthetic-esco-skill-sentences"),
    "model": ("model", "ann/esco-skill-biencoder"),
    "metric": ("space", "ann/r_precision_at_k"),
    "space": ("space", "ann/esco-skill-finder"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_each_artifact_is_one_tagged_commit(world, what):
    kind, repo_id = NAMES[what]
    repo = world.hub.store.find(kind, repo_id)
    assert repo.tags == {TAG: repo.head.oid}
    assert len(repo.commits) == 2
    assert f"{repo_id} {TAG}" in world.said[what]
    assert "all read back the same" in world.said[what]


@pytest.mark.parametrize("what", COMMANDS)
def test_a_second_publish_sends_nothing(world, what):
    world.hub.log.clear()
    done = world.publish(what)
    assert done.returncode == 0, done.stderr
    assert "is published already" in done.stdout
    assert {entry.method for entry in world.hub.log} == {"GET"}


def everything_published(world):
    for repo in world.hub.store.repos.values():
        for path, entry in repo.head.files.items():
            yield repo.id, path, world.hub.store.content(entry.sha256)


def test_nothing_published_can_run_on_being_read(world):
    """No pickle, .bin or .pt, by name or by first bytes (a pickle begins with 0x80, torch's zip with PK)."""
    paths = [path for _, path, _ in everything_published(world)]
    assert len(paths) > 30
    assert not [path for path in paths if path.endswith((".pt", ".bin", ".pkl", ".pickle", ".ckpt", ".pth", ".npy"))]
    heads = {content[:2] for _, _, content in everything_published(world)}
    assert not heads & {b"PK", *(bytes([0x80, protocol]) for protocol in range(2, 6))}


def test_the_token_is_in_no_artifact_log_card_or_cache(world):
    needle = TOKEN.encode()
    assert not [(repo, path) for repo, path, content in everything_published(world) if needle in content]
    assert not any(TOKEN in said for said in world.said.values())
    assert not any(TOKEN in entry.path for entry in world.hub.log)
    kept = [path for path in world.root.rglob("*") if path.is_file() and needle in path.read_bytes()]
    assert kept == []


def test_cards_name_the_publisher(world):
    cards = [(repo, content) for repo, path, content in everything_published(world) if path.endswith((".md", ".py"))]
    assert len(cards) > 4
    assert not [repo for repo, content in cards if b"NAMESPACE/" in content]


def test_the_page_is_told_its_model(world):
    space = world.hub.store.find("space", "ann/esco-skill-finder")
    assert space.variables == {"SKILL_FINDER_MODEL": f"ann/esco-skill-biencoder@{TAG}"}
    assert "publish.py" not in space.head.files


def snippets_of(text: str) -> dict[str, str]:
    """The fenced Python blocks that open a published artifact, by what they call."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return {f"{mark} {n}": block for n, block in enumerate(blocks) for mark in MARKS if mark in block}


def document() -> str:
    """README.md; until it has the sections on published artifacts, the draft of them."""
    readme = (REPO / "README.md").read_text(encoding="utf-8") if (REPO / "README.md").exists() else ""
    has_all = all(mark in "".join(snippets_of(readme).values()) for mark in MARKS)
    return readme if has_all else (REPO / "tests" / "readme_publish.md").read_text(encoding="utf-8")


SNIPPETS = snippets_of(document())


def test_there_is_a_snippet_for_each_artifact():
    assert {name.split()[0] for name in SNIPPETS} == set(MARKS)
    assert set(re.findall(r'revision="([^"]+)"', "".join(SNIPPETS.values()))) == {TAG}


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_readmes_snippets_run(world, tmp_path, name):
    code = SNIPPETS[name].replace("NAMESPACE/", "ann/")
    done = world.run(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    expected = {
        "load_dataset(": "You will bake bread, 0.",
        "SentenceTransformer(": "weld pipes",
        "evaluate.load(": "1.0",
    }
    assert expected[name.split()[0]] in done.stdout


def test_the_published_model_cards_snippet_runs(world, tmp_path):
    card = world.hub.store.find("model", "ann/esco-skill-biencoder").head.files["README.md"]
    snippet = snippets_of(world.hub.store.content(card.sha256).decode())["SentenceTransformer( 0"]
    done = world.run(["-c", snippet], tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line.split("  ")[1] for line in done.stdout.splitlines()} == {"bake bread", "weld pipes", "Python"}


def test_the_space_starts_from_its_files_on_the_published_model(world, tmp_path):
    """Its files as downloaded, its variable, an empty cache; the page answers, and names a skill of the index."""
    space = world.hub.store.find("space", "ann/esco-skill-finder")
    for path, entry in space.head.files.items():
        (tmp_path / "app" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / path).write_bytes(world.hub.store.content(entry.sha256))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keep = ("PATH", "HOME", "LANG")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment |= {
        **space.variables, "HF_ENDPOINT": world.hub.url, "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1", "GRADIO_ANALYTICS_ENABLED": "False",
    }  # fmt: skip
    page = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=tmp_path / "app", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        assert b"ESCO" in wait_for(url, page)
        config = json.loads(urllib.request.urlopen(f"{url}/config", timeout=10).read())
        assert config["title"]
    finally:
        page.terminate()
        page.wait(timeout=20)


def wait_for(url: str, process: subprocess.Popen[str], seconds: float = 90) -> bytes:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, process.stdout.read()
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} did not answer in {seconds} s")


@pytest.mark.parametrize("what", COMMANDS)
def test_a_dry_run_needs_no_token_and_asks_nobody(world, what):
    world.hub.log.clear()
    done = world.publish(what, "--dry-run", token="")
    assert done.returncode == 0, done.stderr
    kind, repo_id = NAMES[what]
    for path, entry in world.hub.store.find(kind, repo_id).head.files.items():
        if path not in (".gitattributes", "README.md") and not path.endswith(".py"):
            assert re.search(rf"{re.escape(path)} +{entry.size:,} bytes", done.stdout), path
    assert f"with the tag {TAG}" in done.stdout
    assert (world.root / "model/README.md").read_text().splitlines()[-1] in done.stdout or what != "model"
    assert ("left out: optimizer.pt" in done.stdout) == (what == "model")
    assert world.hub.log == []


@pytest.mark.parametrize(
    ("more", "token", "message"),
    [
        ([], "", "error: no token for the Hub. Set HF_TOKEN"),
        ([], "hf_" + "WrongWrongWrongWrong1234", "error: the Hub does not accept the token. Set HF_TOKEN"),
        (["--namespace", "bob"], TOKEN, "error: the token may not write to bob/synthetic-esco-skill-sentences"),
        (["--revision-tag", "v9.9.9"], TOKEN, "error: --revision-tag v9.9.9 contradicts the version"),
        (["--name", "../up"], TOKEN, "is no name for a repository"),
    ],
)
def test_refusals_are_one_line_with_the_remedy(world, more, token, message):
    done = world.publish("dataset", *more, token=token)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not token or token not in done.stderr + done.stdout


def test_a_dataset_that_was_changed_since_is_not_published(world, tmp_path):
    import shutil

    folder = shutil.copytree(world.root / "data", tmp_path / "data")
    (folder / "skills/skills.parquet").write_bytes(b"changed")
    done = world.run(["-m", "dataset_builder.publish", str(folder)], tmp_path, TOKEN)
    assert "skills.parquet is not the file that manifest.json lists" in done.stderr
    assert done.returncode == 2


def test_a_model_without_its_own_card_or_index_is_not_published(world, tmp_path):
    import shutil

    folder = shutil.copytree(world.root / "model", tmp_path / "model")
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text("---\n---\n# SentenceTransformer\n")
    done = world.run(["-m", "model_card.publish", str(folder)], tmp_path, TOKEN)
    assert "is not the card of version" in done.stderr
    (folder / "README.md").write_text(card)
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(b"exported later")
    done = world.run(["-m", "model_card.publish", str(folder)], tmp_path, TOKEN)
    assert "label index was made for other weights than onnx/model.onnx" in done.stderr
    assert done.returncode == 2
