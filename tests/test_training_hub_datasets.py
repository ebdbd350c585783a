"""Datasets by Hub id: ours with its manifest, the paper's with two columns; and the paper's recipe on the latter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builder.schema import DatasetManifest
from tests.hub_server import HubServer
from tests.small_dataset import small_manifest
from tests.test_evaluation_by_name import put
from tests.tiny_encoder import tiny_labels, write_tiny_dataset, write_tiny_encoder
from training import train
from training.run_record import TrainingRecord

REPO = Path(__file__).resolve().parent.parent
PAPER = str(REPO / "training" / "recipes" / "paper.yaml")
CARD = """---
configs:
- {config_name: pairs, data_files: [{split: train, path: pairs.csv}]}
- {config_name: skills, data_files: [{split: train, path: skills.csv}]}
---
"""
# One process for all of them: the Hub's address is read once.
TRAIN_EACH = """
import sys
from training import train
recipe, base, out, *names = sys.argv[1:]
for name in names:
    folder = f"{out}/{name.replace('/', '-')}"
    given = ["--recipe", recipe, "--base-model", base, "--dataset", name, "--out", folder]
    train.main([*given, "--max-steps", "2", "--threads", "1"])
"""


def put_ours(hub: HubServer, pairs: str) -> None:
    """A dataset with our two configs and a manifest of version 1.0.0, ESCO 1.1.0; then, untagged, of 1.0.1."""
    skills = "\n".join(["label,uri", *(f"{label},urn:{number}" for number, label in enumerate(tiny_labels()))])
    manifest = small_manifest([])
    files = {"README.md": CARD, "pairs.csv": pairs, "skills.csv": skills}
    repo = put(hub, "someone/ours", {**files, DatasetManifest.FILE_NAME: manifest.model_dump_json()}, tag="v1.0.0")
    newer = manifest.model_copy(update={"version": "1.0.1"}).model_dump_json().encode()
    hub.store.commit(repo, "newer", {DatasetManifest.FILE_NAME: hub.store.entry(newer, False)}, set(), None)
    put(hub, "someone/ours-bare", files)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingRecord]:
    """A step of paper.yaml on each of the Hub's datasets."""
    root = tmp_path_factory.mktemp("hub-datasets")
    pairs = write_tiny_dataset(root / "train.csv").read_text(encoding="utf-8")
    encoder = write_tiny_encoder(root / "encoder", dropout=0.1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    names = ["someone/ours@v1.0.0", "someone/ours", "someone/ours-bare", "someone/paper@v1", "someone/other"]
    with HubServer(root / "hub", {}) as hub:
        put_ours(hub, pairs)
        put(hub, "someone/paper", {"train.csv": pairs}, tag="v1")
        # What others call a manifest is not ours.
        put(hub, "someone/other", {"train.csv": pairs, DatasetManifest.FILE_NAME: "{}"})
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(root / "cache"), "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-c", TRAIN_EACH, PAPER, str(encoder), str(root), *names]
        done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: TrainingRecord.load(root / name.replace("/", "-")) for name in names}


def test_the_version_and_esco_of_a_hub_s_dataset_are_those_of_its_manifest(records):
    """At the revision that was named, and at the newest where none was; without a manifest it is the revision."""

    def told(name: str) -> tuple[str, str, str | None, str]:
        record = records[name]
        return record.version, record.dataset.version, record.dataset.revision, record.label_space_version

    assert told("someone/ours@v1.0.0") == ("1.0.0", "1.0.0", "v1.0.0", "1.1.0")
    assert told("someone/ours") == ("1.0.1", "1.0.1", None, "1.1.0")
    assert told("someone/ours-bare") == ("unknown", "unknown", None, "unknown")
    assert told("someone/paper@v1") == ("v1", "v1", "v1", "unknown")
    assert told("someone/other") == ("unknown", "unknown", None, "unknown")


def test_the_paper_s_recipe_runs_on_a_dataset_of_its_shape(records, tmp_path: Path):
    """Columns `sentence` and `skill`, in a folder and on the Hub: the same 96 pairs, one batch of 64, and losses."""
    (tmp_path / "data").mkdir()
    write_tiny_dataset(tmp_path / "data" / "train.csv")
    encoder = write_tiny_encoder(tmp_path / "encoder", dropout=0.1)
    given = ["--recipe", PAPER, "--base-model", str(encoder), "--dataset", str(tmp_path / "data")]
    train.main([*given, "--out", str(tmp_path / "out"), "--max-steps", "2", "--threads", "1"])
    here, there = TrainingRecord.load(tmp_path / "out"), records["someone/paper@v1"]
    assert (here.recipe_name, here.steps) == ("paper", 1)
    assert [(source.name, source.pairs, source.skills) for source in here.sources] == [("synthetic", 96, 24)]
    assert (here.dataset.id, there.dataset.id) == ("data", "someone/paper")
    assert here.dataset.sha256 == there.dataset.sha256
    assert here.label_space_sha256 == there.label_space_sha256
    assert here.weights_sha256 == there.weights_sha256
