"""Many ads from a dataset on a Hub, here one on loopback: read as a stream, at one commit, with errors of one line."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bulk_rows import AdSource
from skill_finder import SkillFinderError
from tests.bulk_ads import write_ads
from tests.hub_server import HubServer
from tests.hub_server.store import LFS_SUFFIXES

ADS = [f"You bake bread {number}" for number in range(7)]
# Name of a run -> the dataset, and what else the command is given.
CASES = {
    "whole": ("someone/ads", ["--text-column", "description", "--key-column", "id"]),
    "counted": ("someone/counted", ["--text-column", "description"]),
    "split": ("someone/ads", ["--text-column", "description", "--split", "test"]),
    "tag": ("someone/ads@v1", ["--text-column", "description"]),
    "resumed": ("someone/ads", ["--text-column", "description"]),
    "moved": ("someone/moving", ["--text-column", "description"]),
    "misspelt": ("someone/ads", ["--text-column", "descripton"]),
    "no dataset": ("someone/nothing", []),
    "no revision": ("someone/ads@v9", []),
    "no split": ("someone/ads", ["--split", "dev"]),
    "breaks off": ("someone/broken", []),
    "ray": ("someone/ads", ["--text-column", "description", "--engine", "ray"]),
}
COUNTED = """---
dataset_info:
  features:
  - name: description
    dtype: string
  - name: id
    dtype: string
  splits:
  - name: train
    num_bytes: 1
    num_examples: 7
---
"""
# In parts of two. "resumed" has its first two parts already, with a mark in them; "moved" has parts of another commit.
RUN_ALL = """
import contextlib, io, json, sys
from pathlib import Path
from types import SimpleNamespace
import bulk, bulk_parts
from bulk_output import Parts
from bulk_rows import AdSource
from tests.tiny_finder import tiny_finder

bulk.PART_ROWS = 2
bulk_parts.in_parts.__defaults__ = (2,)
bulk.open_service = lambda *_: SimpleNamespace(finder=tiny_finder())
said = {}
for name, arguments in json.load(sys.stdin).items():
    if name in ("resumed", "moved"):
        given = bulk._parser().parse_args(arguments)
        source = AdSource(given.input, given.text_column)
        parts = Parts(given.output)
        settings = bulk.run_settings(source, tiny_finder(), given)
        if name == "moved":
            settings["input"][-1] = "0" * 40
        parts.open(settings, False)
        for number in (0, 1):
            row = {"key": "done before", "skills": [], "error": None}
            parts.save(number, [{"row": 2 * number + i, **row} for i in range(2)])
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = bulk.run_command(bulk.main, arguments)
    said[name] = [code, out.getvalue()]
said["states"] = [AdSource(name, "text").state() for name in ("someone/ads", "someone/ads@v1")]
print(json.dumps(said))
"""


def put(hub, name, files, tag=""):
    repo = hub.store.create("dataset", name, private=False, sdk=None)
    entries = {path: hub.store.entry(content, path.endswith(LFS_SUFFIXES)) for path, content in files.items()}
    hub.store.commit(repo, "data", entries, set(), None)
    if tag:
        hub.store.tag(repo, tag, "main")


@dataclass(frozen=True)
class Runs:
    folder: Path
    said: dict[str, list]

    def rows(self, name):
        code, printed = self.said[name]
        assert code == 0, printed
        return pq.read_table(self.folder / f"{name}.parquet").to_pylist()

    def error(self, name):
        """The error, which is the last line; bars of progress may stand before it."""
        code, printed = self.said[name]
        assert code == 2, printed
        assert "Traceback" not in printed
        return printed.splitlines()[-1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bulk-hub")
    repo_root = Path(__file__).resolve().parent.parent
    lines = "description,id\n" + "".join(f"{ad},ad-{number}\n" for number, ad in enumerate(ADS))
    broken = write_ads(folder / "broken.parquet", ["You bake bread"] * 3).read_bytes()
    with HubServer(folder / "hub", {}) as hub:
        put(hub, "someone/ads", {"train.csv": lines.encode(), "test.csv": b"description,id\nSQL,1\n"}, "v1")
        put(hub, "someone/counted", {"train.csv": lines.encode(), "README.md": COUNTED.encode()})
        put(hub, "someone/moving", {"train.csv": lines.encode()})
        put(hub, "someone/broken", {"train.parquet": broken[:60] + b"\xff" * 40 + broken[100:]})
        commands = {name: [dataset, str(folder / f"{name}.parquet"), *more] for name, (dataset, more) in CASES.items()}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(repo_root), str(repo_root / "space")])
        done = subprocess.run(
            [sys.executable, "-c", RUN_ALL], input=json.dumps(commands), env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    return Runs(folder, json.loads(done.stdout.splitlines()[-1]))


def test_a_dataset_is_read_by_its_name(runs):
    rows = runs.rows("whole")
    assert [(row["row"], row["key"]) for row in rows] == [(number, f"ad-{number}") for number in range(7)]
    assert all(row["skills"][0]["label"] == "bake bread in ovens" for row in rows)


def test_the_bar_of_progress_knows_the_number_that_the_card_says(runs):
    assert len(runs.rows("counted")) == 7
    assert "7/7" in runs.said["counted"][1]
    assert "7/7" not in runs.said["whole"][1]


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(AdSource, "commit", "0" * 40)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SkillFinderError, match="pip install datasets"):
        next(AdSource("someone/ads", "text").rows())


def test_split_and_revision(runs):
    assert [row["skills"][0]["label"] for row in runs.rows("split")] == ["SQL"]
    assert len(runs.rows("tag")) == 7


def test_a_run_goes_on_where_it_was(runs):
    """Four rows were there; rows 4 to 6 come from the stream, which is skipped to them."""
    rows = runs.rows("resumed")
    assert [row["row"] for row in rows] == list(range(7))
    assert [row["key"] for row in rows] == ["done before"] * 4 + [None] * 3
    assert [bool(row["skills"]) for row in rows] == [False] * 4 + [True] * 3


def test_a_dataset_that_has_moved_on_is_another_input(runs):
    """What is compared is the commit that a branch or tag means."""
    assert "another input" in runs.error("moved")
    branch, tag = runs.said["states"]
    assert (branch[0], tag[0]) == ("someone/ads", "someone/ads@v1")
    assert branch[1] == tag[1]
    assert len(branch[1]) == 40


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("misspelt", "someone/ads has no column 'descripton' (found: description, id)"),
        ("no dataset", "cannot open the dataset someone/nothing"),
        ("no revision", "cannot open the dataset someone/ads@v9"),
        ("no split", "cannot open the dataset someone/ads"),
        ("breaks off", "someone/broken cannot be read beyond row 0"),
        ("ray", "--engine ray reads files; download the dataset first, or use --engine local"),
    ],
)
def test_what_cannot_be_read_is_one_line(runs, name, says):
    assert says in runs.error(name)
