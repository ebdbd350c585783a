"""From nothing to published and used: the real commands and clients in new processes, with empty caches, over HTTP.

One transcript: build a tiny dataset and model, publish all four artifacts, then do what the README and the cards say.
"""

import os
import re
import socket
import subprocess
import sys

import pytest
import yaml

from tests.card_records import URI
from tests.published_world import COMMANDS, MARKS, NAMES, TAG, TOKEN, document, published, snippets_of, wait_for
from tests.running_page import call


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with published(tmp_path_factory.mktemp("published")) as made:
        yield made


@pytest.mark.parametrize("what", COMMANDS)
def test_each_artifact_is_one_tagged_commit(world, what):
    kind, repo_id = NAMES[what]
    repo = world.hub.store.find(kind, repo_id)
    assert repo.tags == {TAG: repo.head.oid}
    assert len(repo.commits) == 2
    assert f"{repo_id} {TAG}" in world.said[what]
    assert "all read back the same" in world.said[what]


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
    model = f"ann/esco-skill-biencoder@{TAG}"
    assert world.hub.store.content(space.head.files["model.txt"].sha256).decode() == f"{model}\n"
    card = world.hub.store.content(space.head.files["README.md"].sha256).decode()
    assert f"It runs on `{model}`" in card
    assert yaml.safe_load(card.split("---\n")[1])["models"] == ["ann/esco-skill-biencoder"]
    assert space.variables == {}
    assert "publish.py" not in space.head.files


SNIPPETS = {name: code for name, code in snippets_of(document()).items() if "NAMESPACE/" in code}


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


def test_the_published_dataset_cards_snippet_runs(world, tmp_path):
    """The first of three pairs, and one line more that looks at what the snippet made."""
    card = world.hub.store.find("dataset", "ann/synthetic-esco-skill-sentences").head.files["README.md"]
    snippet = snippets_of(world.hub.store.content(card.sha256).decode())["load_dataset( 0"]
    done = world.run(["-c", snippet + "print(pairs.num_rows, skills[2]['label'], skills.features['type'])"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "You will bake bread, 0. -> ['bake bread']",
        "{'train': 3, 'validation': 1} Python Value('string')",
    ]
    assert "Ignoring" not in done.stderr


def test_the_published_metric_cards_lines_give_what_they_say(world, tmp_path):
    """Each `# {...}` under a call is what the call returns."""
    card = world.hub.store.find("space", "ann/r_precision_at_k").head.files["README.md"]
    snippet = snippets_of(world.hub.store.content(card.sha256).decode())["evaluate.load( 0"]
    said = re.findall(r"^# (\{.*\})$", snippet, re.MULTILINE)
    shown = re.sub(r"^metric\.compute\((.*)\)$", r"print(metric.compute(\1))", snippet, flags=re.MULTILINE)
    done = world.run(["-c", shown], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == said
    assert len(said) == 2
    assert f'"ann/r_precision_at_k", revision="{TAG}"' in snippet


def test_the_space_starts_from_its_files_on_the_published_model(world, tmp_path):
    """Its files as downloaded, no variable, an empty cache; the page answers, and finds a skill of the index."""
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
        "HF_ENDPOINT": world.hub.url, "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1", "GRADIO_ANALYTICS_ENABLED": "False",
    }  # fmt: skip
    page = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=tmp_path / "app", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        assert b"ESCO" in wait_for(url, page)
        assert call(url, "rank_sentence", "You will bake bread.", 3)[0]["uri"].startswith(URI)
    finally:
        page.terminate()
        page.wait(timeout=60)
