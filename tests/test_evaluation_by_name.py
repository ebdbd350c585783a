"""Benchmarks, label space and model by their Hub names, from a Hub on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from dataset_builder.schema import SKILLS_FILE, DatasetManifest, skills_features
from eval.results import EvalResults
from tests.eval_records import URI, write_esco, write_model
from tests.hub_server import HubServer
from tests.hub_server.store import LFS_SUFFIXES
from tests.small_dataset import small_manifest

THREE = {
    "tech": ("* We bake bread,bread,,bake bread\nFree fruit,fruit,,LABEL NOT PRESENT\n", "Use Python,Python,,Python\n"),
    "house": ("Manage staff,staff,,manage staff \n", "Lead people,people,,manage staff\n"),
    "techwolf": ("Write reports,reports,,write reports\n", ""),
}
SKILL_XL = """ID,subset,title,sentence,relevant,cluster,skill
1,x,Baker,Bake bread early,True,1,bake bread
1,x,Baker,Bake bread early,True,1,fly planes
1,x,Baker,We are nice,False,,
"""
SKILLSKAPE = """,sentence,skills
0,Manage staff and write reports,"['manage staff', 'write reports', 'UNK']"
1,Nothing,['UNK']
"""


SKILLS_CARD = """---
configs:
- config_name: skills
  data_files:
  - split: train
    path: skills/skills.parquet
---
"""


def put(hub, name, files, tag="", kind="dataset"):
    """A repository with files given as text or bytes, the large kinds in LFS."""
    repo = hub.store.create(kind, name, private=False, sdk=None)
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    entries = {path: hub.store.entry(content, path.endswith(LFS_SUFFIXES)) for path, content in contents.items()}
    hub.store.commit(repo, "data", entries, set(), None)
    if tag:
        hub.store.tag(repo, tag, "main")
    return repo


def put_label_space(hub, folder: Path) -> None:
    """Two of the five skills, as a dataset of ours holds them, with its manifest."""
    labels = (("Python", "knowledge"), ("bake bread", "competence"))
    rows = [
        {"uri": URI.format(n), "label": label, "alternative_labels": [], "type": kind}
        for n, (label, kind) in enumerate(labels)
    ]
    Dataset.from_list(rows, features=skills_features()).to_parquet(str(folder / "skills.parquet"))
    files = {"README.md": SKILLS_CARD, SKILLS_FILE: (folder / "skills.parquet").read_bytes()}
    files[DatasetManifest.FILE_NAME] = small_manifest([]).model_dump_json()
    put(hub, "someone/data", files, tag="v1.0.0")
    put(hub, "someone/bare", {name: files[name] for name in ("README.md", SKILLS_FILE)})


def put_model(hub, folder: Path) -> None:
    write_model(folder)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    put(hub, "someone/model", files, tag="v1.0.0", kind="model")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with HubServer(tmp_path_factory.mktemp("hub"), {}) as server:
        head = "sentence,span,sub_span,label\n"
        for name, (test, validation) in THREE.items():
            files = {"test.csv": head + test, **({"validation.csv": head + validation} if validation else {})}
            put(server, f"TechWolf/skill-extraction-{name}", files)
        put(server, "TechWolf/Skill-XL", {"test.csv": SKILL_XL})
        repo = put(server, "someone/skillskape", {"test.csv": SKILLSKAPE}, tag="v1")
        # What came after the tag must not be read.
        server.store.commit(
            repo, "worse", {"test.csv": server.store.entry(b"sentence,label\na,b\n", False)}, set(), None
        )
        put_label_space(server, tmp_path_factory.mktemp("skills"))
        put_model(server, tmp_path_factory.mktemp("hub-model") / "model")
        yield server


def score(
    hub, folder: Path, *benchmarks: str, split: str = "test", system: str = "literal", space: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that knows this Hub only."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    esco = str(write_esco(folder / "esco"))
    command = ["-m", "eval.score_model", system, "--benchmarks", *benchmarks, "--split", split, "--samples", "50"]
    command += ["--label-space", space] if space else ["--esco", esco]
    command += ["--out", str(folder / "r.json")]
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)


def test_five_benchmarks_by_name_in_one_run(hub, tmp_path):
    """Skill-XL: one relevant sentence with two skills, of which the label space has one; its rank is 1, so RP@5 = 1/2.

    SkillSkape at its tag: the two names that stand in the sentence come first and second, RP@5 = 1.
    """
    done = score(hub, tmp_path, "hub", "TechWolf/Skill-XL", "SHAPE=someone/skillskape@v1")
    assert done.returncode == 0, done.stderr
    found = {benchmark.name: benchmark for benchmark in EvalResults.load(tmp_path / "r.json").benchmarks}
    assert list(found) == ["TECH", "HOUSE", "TECHWOLF", "SKILL-XL", "SHAPE"]
    assert [found[name].gold_ranks for name in found] == [["1"], ["1"], ["1"], ["1 -"], ["1 2"]]
    assert found["TECH"].thresholds.sentences_without_skill == 1
    assert (found["SKILL-XL"].metrics["rp@5"].value, found["SKILL-XL"].gold_missing) == (0.5, ["fly planes"])
    assert found["SKILL-XL"].thresholds.sentences_without_skill == 1
    assert (found["SHAPE"].metrics["rp@5"].value, found["SHAPE"].dropped_rows) == (1, 2)
    assert "SKILL-XL: gold labels that the label space lacks (1, 1 of 2 mentions)" in done.stdout


def test_validation_by_name_leaves_out_the_set_without_one(hub, tmp_path):
    assert score(hub, tmp_path, "hub", split="validation").returncode == 0
    assert [benchmark.name for benchmark in EvalResults.load(tmp_path / "r.json").benchmarks] == ["TECH", "HOUSE"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("someone/nothing", "the dataset someone/nothing cannot be opened"),
        ("someone/skillskape@v9", "the dataset someone/skillskape@v9 cannot be opened"),
        ("someone/skillskape", "SKILLSKAPE: gold labels that the label space lacks (1, 1 of 1 mentions)"),
    ],
)
def test_names_that_are_wrong_or_hold_something_else_are_said(hub, tmp_path, name, message):
    done = score(hub, tmp_path, name)
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_model_and_label_space_by_name(hub, tmp_path):
    """Both at their tags: the model's commit and weights are recorded, and the label space's ESCO version."""
    done = score(
        hub, tmp_path, "TechWolf/skill-extraction-tech", system="someone/model@v1.0.0", space="someone/data@v1.0.0"
    )
    assert done.returncode == 0, done.stderr
    record = EvalResults.load(tmp_path / "r.json")
    repo = hub.store.find("model", "someone/model")
    assert (record.system.source, record.system.revision) == ("someone/model", repo.tags["v1.0.0"])
    assert record.system.weights_sha256 == repo.head.files["model.safetensors"].sha256
    assert (record.label_space.source, record.label_space.version, record.label_space.size) == (
        "someone/data@v1.0.0",
        "1.1.0",
        2,
    )
    assert record.benchmarks[0].gold_missing == []


@pytest.mark.parametrize(
    ("system", "space", "message"),
    [
        ("literal", "someone/bare", "2 skill names of ESCO unknown"),
        ("literal", "someone/nothing", "the label space someone/nothing cannot be opened"),
        ("someone/nothing", "", "the model someone/nothing cannot be opened"),
    ],
)
def test_what_a_name_does_not_hold_is_said(hub, tmp_path, system, space, message):
    done = score(hub, tmp_path, "TechWolf/skill-extraction-tech", system=system, space=space)
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
