"""Benchmarks by their Hub names, from a Hub on loopback: the three, Skill-XL, SkillSkape, and anyone's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.results import EvalResults
from tests.eval_records import write_esco
from tests.hub_server import HubServer

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


def put(hub, name, files, tag=""):
    repo = hub.store.create("dataset", name, private=False, sdk=None)
    hub.store.commit(repo, "data", {path: hub.store.entry(text.encode(), lfs=False) for path, text in files.items()},
                     set(), None)  # fmt: skip
    if tag:
        hub.store.tag(repo, tag, "main")
    return repo


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
        yield server


def score(hub, folder: Path, *benchmarks: str, split: str = "test") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that knows this Hub only."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    write_esco(folder / "esco")
    command = ["-m", "eval.score_model", "literal", "--benchmarks", *benchmarks, "--esco", str(folder / "esco")]
    command += ["--split", split, "--samples", "50", "--out", str(folder / "r.json")]
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
