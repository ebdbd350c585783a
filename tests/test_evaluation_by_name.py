"""Benchmarks, label space and model by their Hub names, from a Hub on loopback."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
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


TECH = "TechWolf/skill-extraction-tech"
# Name of a run -> its benchmarks, split, system, and label space by name ("" for the ESCO folder).
CASES = {
    "five": (["hub", "TechWolf/Skill-XL", "SHAPE=someone/skillskape@v1"], "test", "literal", ""),
    "validation": (["hub"], "validation", "literal", ""),
    "names": ([TECH], "test", "someone/model@v1.0.0", "someone/data@v1.0.0"),
    "no benchmark": (["someone/nothing"], "test", "literal", ""),
    "no revision": (["someone/skillskape@v9"], "test", "literal", ""),
    "other content": (["someone/skillskape"], "test", "literal", ""),
    "no manifest": ([TECH], "test", "literal", "someone/bare"),
    "no label space": ([TECH], "test", "literal", "someone/nothing"),
    "no model": ([TECH], "test", "someone/nothing", ""),
}
RUN_ALL = """
import contextlib, io, json, sys
from dataset_builder.contract import run_command
from eval import score_model

said = {}
for name, arguments in json.load(sys.stdin).items():
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        said[name] = [run_command(score_model.main, arguments), out.getvalue()]
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Runs:
    """What each case printed, its exit code, and where its results are."""

    folder: Path
    said: dict[str, list]

    def record(self, name: str) -> EvalResults:
        code, printed = self.said[name]
        assert code == 0, printed
        return EvalResults.load(self.folder / f"{name}.json")


@pytest.fixture(scope="module")
def runs(hub, tmp_path_factory):
    """Every case by the command's own function, in one process that knows this Hub only."""
    folder = tmp_path_factory.mktemp("runs")
    esco = str(write_esco(folder / "esco"))
    commands = {}
    for name, (benchmarks, split, system, space) in CASES.items():
        names = ["--label-space", space] if space else ["--esco", esco]
        out = ["--out", str(folder / f"{name}.json"), "--samples", "50"]
        commands[name] = [system, "--benchmarks", *benchmarks, "--split", split, *names, *out]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL], input=json.dumps(commands), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return Runs(folder, json.loads(done.stdout.splitlines()[-1]))


def test_five_benchmarks_by_name_in_one_run(runs):
    """Skill-XL: one relevant sentence with two skills, of which the label space has one; its rank is 1, so RP@5 = 1/2.

    SkillSkape at its tag: the two names that stand in the sentence come first and second, RP@5 = 1.
    """
    found = {benchmark.name: benchmark for benchmark in runs.record("five").benchmarks}
    assert list(found) == ["TECH", "HOUSE", "TECHWOLF", "SKILL-XL", "SHAPE"]
    assert [found[name].gold_ranks for name in found] == [["1"], ["1"], ["1"], ["1 -"], ["1 2"]]
    assert found["TECH"].thresholds.sentences_without_skill == 1
    assert (found["SKILL-XL"].metrics["rp@5"].value, found["SKILL-XL"].gold_missing) == (0.5, ["fly planes"])
    assert found["SKILL-XL"].thresholds.sentences_without_skill == 1
    assert (found["SHAPE"].metrics["rp@5"].value, found["SHAPE"].dropped_rows) == (1, 2)
    assert "SKILL-XL: gold labels that the label space lacks (1, 1 of 2 mentions)" in runs.said["five"][1]


def test_validation_by_name_leaves_out_the_set_without_one(runs):
    assert [benchmark.name for benchmark in runs.record("validation").benchmarks] == ["TECH", "HOUSE"]


def test_model_and_label_space_by_name(runs, hub):
    """Both at their tags: the model's commit and weights are recorded, and the label space's ESCO version."""
    record = runs.record("names")
    repo = hub.store.find("model", "someone/model")
    assert (record.system.source, record.system.revision) == ("someone/model", repo.tags["v1.0.0"])
    assert record.system.weights_sha256 == repo.head.files["model.safetensors"].sha256
    space = record.label_space
    assert (space.source, space.version, space.size) == ("someone/data@v1.0.0", "1.1.0", 2)
    assert record.benchmarks[0].gold_missing == []


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("no benchmark", 2, "the dataset someone/nothing cannot be opened"),
        ("no revision", 2, "the dataset someone/skillskape@v9 cannot be opened"),
        ("other content", 0, "SKILLSKAPE: gold labels that the label space lacks (1, 1 of 1 mentions)"),
        ("no manifest", 0, "2 skill names of ESCO unknown"),
        ("no label space", 2, "the label space someone/nothing cannot be opened"),
        ("no model", 2, "the model someone/nothing cannot be opened"),
    ],
)
def test_what_a_name_does_not_hold_is_said(runs, name, code, message):
    assert runs.said[name][0] == code
    assert message in runs.said[name][1]
    assert "Traceback" not in runs.said[name][1]
