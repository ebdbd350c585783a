"""From a key to a pushed dataset: the commands of dataset_builder/README.md, in their order, in new processes."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from dataset_builder import stub_server
from dataset_builder.schema import DatasetManifest
from dataset_builder.stub_server import StubServer
from tests.hub_server import HubServer, User
from tests.published_world import REPO, TOKEN

KEY = "sk-of-the-reader-0123456789"


def commands() -> list[list[str]]:
    """The first block's commands, split into words."""
    text = (REPO / "dataset_builder" / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1].replace("\\\n", " ")
    return [shlex.split(line) for line in block.splitlines() if line.startswith("python ")]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """What the words of the commands stand for, a server that writes and judges, and a Hub."""
    writes = stub_server.reply_text

    def reply(request, lines, fault=None):
        is_judge = request["messages"][0]["content"].startswith("You check a data set")
        return "Yes." if is_judge else writes(request, lines, fault)

    monkeypatch.setattr(stub_server, "reply_text", reply)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "tech_test.csv").write_text("sentence,label\nYou weld pipes.,weld\n", encoding="utf-8")
    with StubServer() as llm, HubServer(tmp_path / "hub", {TOKEN: User("ann", ())}) as hub:
        stands_for = {
            "1.1.0": str(REPO / "dataset_builder" / "sample_esco"), "https://api.example.com/v1": llm.url,
            "BENCHMARKS_DIR": str(tmp_path / "benchmarks"), "NAMESPACE": "ann",
        }  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        environment |= {"OPENAI_API_KEY": KEY, "HF_TOKEN": TOKEN, "PYTHONPATH": str(REPO)}

        def run(words):
            command = [sys.executable, *(stands_for.get(word, word) for word in words[1:])]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        yield run, llm, hub


def test_the_readmes_commands_lead_from_a_key_to_a_pushed_dataset(world, tmp_path):
    run, llm, hub = world
    said, sent = [], []
    for words in commands():
        before = llm.requests
        said.append(run(words))
        sent.append(llm.requests - before)
    # The sample has 125 skills, each with three requests of four lines: 100 of them are asked about once.
    assert sent[:3] == [0, 300, 75]
    assert "Nothing was sent." in said[0]
    assert llm.authorizations == {f"Bearer {KEY}"}
    folder = tmp_path / "artifacts" / "dataset" / "1.0.0"
    assert DatasetManifest.load(folder).version == "1.0.0"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "JUDGE" in card
    repo = hub.store.find("dataset", "ann/synthetic-esco-skill-sentences")
    assert repo.tags == {"v1.0.0": repo.head.oid}
    assert "manifest.json" in repo.head.files
    code = (
        "from datasets import load_dataset\n"
        "pairs = load_dataset('ann/synthetic-esco-skill-sentences', 'pairs', revision='v1.0.0')\n"
        "print(sorted(pairs), pairs['train'].num_rows > 500)"
    )
    assert "['train', 'validation'] True" in run(["python", "-c", code])
    written = [path.read_bytes() for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert written
    assert not [content for content in written if KEY.encode() in content or TOKEN.encode() in content]
