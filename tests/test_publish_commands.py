"""The publish commands: what they print, what they refuse, and that a second publish sends nothing."""

import importlib
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from dataset_builder import hub_command
from dataset_builder.card import write_card
from dataset_builder.contract import run_command
from dataset_builder.schema import DatasetManifest
from model_card.build import main as build_card
from tests.card_folders import card_command, retrain
from tests.card_records import own_results
from tests.published_world import COMMANDS, NAMES, TAG, TOKEN, document, published


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with published(tmp_path_factory.mktemp("published")) as made:
        yield made


@dataclass(frozen=True)
class Ran:
    """What a command did in this process."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(world, monkeypatch, capsys):
    """Run a command in this process against the local Hub: the same code, without the seconds of a new process."""

    def run(what: str, *more: str, token: str = TOKEN, folder: Path | None = None) -> Ran:
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(hub_command, "HfApi", partial(HfApi, endpoint=world.hub.url, token=token))
        module, *words = COMMANDS[what]
        words = [str(folder)] if folder else [world.place(word) for word in words]
        capsys.readouterr()
        code = run_command(importlib.import_module(module).main, [*words, *more])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("what", COMMANDS)
def test_a_second_publish_sends_nothing(world, here, what):
    world.hub.log.clear()
    done = here(what)
    assert done.returncode == 0, done.stderr
    assert "is published already" in done.stdout
    assert {entry.method for entry in world.hub.log} == {"GET"}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_dry_run_needs_no_token_and_asks_nobody(world, here, what):
    world.hub.log.clear()
    done = here(what, "--dry-run", "--namespace", "ann", token="")
    assert done.returncode == 0, done.stderr
    kind, repo_id = NAMES[what]
    for path, entry in world.hub.store.find(kind, repo_id).head.files.items():
        if path != ".gitattributes":
            assert re.search(rf"{re.escape(path)} +{entry.size:,} bytes", done.stdout), path
    assert f"with the tag {TAG}" in done.stdout
    assert (world.root / "model/README.md").read_text().splitlines()[-1] in done.stdout or what != "model"
    assert ("left out: optimizer.pt" in done.stdout) == (what == "model")
    assert world.hub.log == []


def test_no_token_is_one_line_with_the_remedy(world, tmp_path):
    done = world.run(["-m", *COMMANDS["dataset"]], tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no token for the Hub. Set HF_TOKEN")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "token", "message"),
    [
        ([], "hf_" + "WrongWrongWrongWrong1234", "error: the Hub does not accept the token. Set HF_TOKEN"),
        (["--namespace", "bob"], TOKEN, "error: the token may not write to bob/synthetic-esco-skill-sentences"),
        (["--revision-tag", "v9.9.9"], TOKEN, "error: --revision-tag v9.9.9 contradicts the version"),
        (["--name", "../up"], TOKEN, "is no name for a repository"),
    ],
)
def test_refusals_are_one_line_with_the_remedy(here, more, token, message):
    done = here("dataset", *more, token=token)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert token not in done.stderr + done.stdout


def test_an_organisation_gets_a_private_copy_under_another_name(world, here):
    done = here("dataset", "--namespace", "lab", "--name", "sentences", "--private", "--revision-tag", TAG)
    assert done.returncode == 0, done.stderr
    repo = world.hub.store.find("dataset", "lab/sentences")
    assert repo.private
    assert repo.tags == {TAG: repo.head.oid}
    card = world.hub.store.content(repo.head.files["README.md"].sha256).decode()
    assert 'name = "lab/sentences"' in card


def test_the_metric_goes_to_any_account_under_the_one_name_that_it_loads_by(world, here):
    """evaluate.load("lab/rp") would fetch rp.py from the Space, where the metric is r_precision_at_k.py."""
    world.hub.log.clear()
    done = here("metric", "--namespace", "lab", "--name", "rp")
    assert done.returncode == 2
    assert "error: evaluate.load looks for rp.py in a Space of that name" in done.stderr
    assert "Leave --name out" in done.stderr
    assert world.hub.log == []
    assert here("metric", "--namespace", "lab", "--name", "r_precision_at_k").returncode == 0
    repo = world.hub.store.find("space", "lab/r_precision_at_k")
    card = world.hub.store.content(repo.head.files["README.md"].sha256).decode()
    assert f'evaluate.load("lab/r_precision_at_k", revision="{TAG}")' in card


def test_a_page_on_another_model_gets_a_variable_and_keeps_its_files(world, here):
    """--model sets the Space's variable; the next publish without it changes nothing and says which model counts."""
    space = world.hub.store.find("space", "ann/esco-skill-finder")
    commit = space.head.oid
    assert here("space", "--model", "lab/other@v2.0.0").returncode == 0
    assert space.variables == {"SKILL_FINDER_MODEL": "lab/other@v2.0.0"}
    world.hub.log.clear()
    assert "it runs on lab/other@v2.0.0, which its variable" in here("space").stdout
    assert {entry.method for entry in world.hub.log} == {"GET"}
    assert space.head.oid == commit
    space.variables.clear()


def test_a_dataset_that_was_changed_since_is_not_published(world, here, tmp_path):
    folder = shutil.copytree(world.root / "data", tmp_path / "data")
    (folder / "skills/skills.parquet").write_bytes(b"changed")
    done = here("dataset", folder=folder)
    assert done.returncode == 2
    assert "skills.parquet is not the file that manifest.json lists" in done.stderr


def of_own_taxonomy(world, folder, name):
    """A copy of the world's dataset whose skills come from nursing.csv."""
    shutil.copytree(world.root / "data", folder)
    manifest = DatasetManifest.load(folder)
    esco = manifest.esco.model_copy(update={"version": "nursing", "file_sha256": {"nursing.csv": "0" * 64}})
    manifest = manifest.model_copy(update={"name": name, "esco": esco})
    write_card(folder, manifest)
    manifest.save(folder)
    return folder


def test_a_dataset_goes_to_the_repository_that_its_manifest_names(world, here, tmp_path):
    done = here("dataset", folder=of_own_taxonomy(world, tmp_path / "own", "nursing-sentences"))
    assert done.returncode == 0, done.stderr
    repo = world.hub.store.find("dataset", "ann/nursing-sentences")
    card = world.hub.store.content(repo.head.files["README.md"].sha256).decode()
    assert 'name = "ann/nursing-sentences"' in card


def test_a_dataset_over_another_taxonomy_never_goes_where_esco_is(world, here, tmp_path):
    """Built without --name it has the usual one: it is published under a name that --name gives, and no other."""
    folder = of_own_taxonomy(world, tmp_path / "own", "synthetic-esco-skill-sentences")
    world.hub.log.clear()
    done = here("dataset", folder=folder)
    assert done.returncode == 2
    assert "its skills are not ESCO's. Name its repository with --name" in done.stderr
    assert world.hub.log == []
    shown = here("dataset", "--dry-run", "--namespace", "ann", "--name", "nursing", folder=folder)
    assert 'name = "ann/nursing"' in shown.stdout


def test_a_dataset_in_another_language_never_goes_where_the_english_one_is(world, here, tmp_path):
    folder = shutil.copytree(world.root / "data", tmp_path / "german")
    manifest = DatasetManifest.load(folder)
    manifest = manifest.model_copy(update={"esco": manifest.esco.model_copy(update={"language": "de"})})
    write_card(folder, manifest)
    manifest.save(folder)
    world.hub.log.clear()
    done = here("dataset", folder=folder)
    assert done.returncode == 2
    assert "without a name of its own, and its language is German. Name its repository with --name" in done.stderr
    assert world.hub.log == []
    shown = here("dataset", "--dry-run", "--namespace", "ann", "--name", "german", folder=folder)
    assert 'name = "ann/german"' in shown.stdout


def test_a_model_without_its_own_card_or_index_is_not_published(world, here, tmp_path):
    folder = shutil.copytree(world.root / "model", tmp_path / "model")
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text("---\n---\n# SentenceTransformer\n")
    assert "is not the card of version" in here("model", folder=folder).stderr
    (folder / "README.md").write_bytes(card.encode() + b"\xe9")  # saved by an editor in another encoding
    assert "is not the card of version" in here("model", folder=folder).stderr
    (folder / "README.md").write_text(card)
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(b"exported later")
    done = here("model", folder=folder)
    assert done.returncode == 2
    assert "label index was made for other weights than onnx/model.onnx" in done.stderr


def renamed_model(world, folder, name):
    """The world's model as training would have named it, with its own results and card."""
    shutil.copytree(world.root, folder, ignore=shutil.ignore_patterns("hub", "cache*"))
    retrain(folder, name=name, version="9.9.9")
    own_results(folder / "model").save(folder / "own.json")
    assert run_command(build_card, card_command(folder)) == 0
    return folder / "model"


def test_a_model_of_ours_beside_the_main_one_goes_to_a_repository_of_its_own(world, here, tmp_path):
    folder = renamed_model(world, tmp_path / "static", "esco-skill-static")
    assert 'name = "NAMESPACE/esco-skill-static"' in (folder / "README.md").read_text()
    main = world.hub.store.find("model", "ann/esco-skill-biencoder").head.oid
    assert here("model", folder=folder).returncode == 0
    card = world.hub.store.find("model", "ann/esco-skill-static").head.files["README.md"]
    assert 'name = "ann/esco-skill-static"' in world.hub.store.content(card.sha256).decode()
    assert world.hub.store.find("model", "ann/esco-skill-biencoder").head.oid == main


def test_another_model_takes_the_place_of_a_published_one_only_by_name(world, here, tmp_path):
    folder = renamed_model(world, tmp_path / "other", "other")
    main = world.hub.store.find("model", "ann/esco-skill-biencoder").head.oid
    done = here("model", folder=folder)
    assert done.returncode == 2
    assert "error: ann/esco-skill-biencoder holds 'tiny', and this is 'other'. Name a repository with" in done.stderr
    assert world.hub.store.find("model", "ann/esco-skill-biencoder").head.oid == main
    assert here("model", "--namespace", "lab", "--name", "other", folder=folder).returncode == 0
    assert here("model", "--namespace", "lab", "--name", "other", folder=world.root / "model").returncode == 0


def test_every_command_that_the_readme_publishes_with_exists(world, here):
    """The fork's section: each `python -m ... publish` line runs as it stands, dry."""
    lines = re.findall(r"^python -m (\S*publish\S*)(.*)$", document(), re.MULTILINE)
    assert {module for module, _ in lines} == {words[0] for words in COMMANDS.values()}
    known = {words[0]: what for what, words in COMMANDS.items()}
    for module, _ in lines:
        assert here(known[module], "--dry-run").returncode == 0
