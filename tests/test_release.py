"""model_card.release: a release whose records, cards, results, tags and texts agree passes; any one change fails."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from model_card import release as release_module
from model_card.release import Release, check_hub, check_release, main
from tests.card_folders import retrain, write_everything
from tests.card_records import VERSION, manifest, own_results
from tests.hub_server import HubServer, User

# What own_results gives: 0.56164 and 0.4511 with intervals of 0.05 and 0.03 on both sides.
TABLE = """<!-- results -->
| system | TECH | HOUSE |
| tiny | 56.16 [51.16, 61.16] | 45.11 [42.11, 48.11] |
<!-- /results -->
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("release")
    write_everything(root)
    (root / "CHANGELOG.md").write_text(f"# Changes\n\n## {VERSION}\n\nAll of it.\n\n## 0.9.0\n\nLess.\n")
    (root / "README.md").write_text(
        f'load_dataset("NAMESPACE/x", revision="v{VERSION}")\nNAMESPACE/m@v{VERSION}\n{TABLE}'
    )
    git(root, "init", "-q")
    return root


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", "-C", str(root), *identity, *words], capture_output=True, text=True).stdout.strip()


@pytest.fixture
def work(made, tmp_path):
    return shutil.copytree(made, tmp_path / "work")


def release_at(root: Path, version: str = VERSION) -> Release:
    results = (root / "own.json", root / "other.json")
    return Release(
        root / "data", root / "model", results, version, "NAMESPACE/esco-skill-biencoder", "apache-2.0", root
    )


def failing(root: Path, version: str = VERSION) -> dict[str, str]:
    return {finding.what: finding.wrong for finding in check_release(release_at(root, version)) if finding.wrong}


def test_what_agrees_passes(made):
    findings = check_release(release_at(made))
    assert [finding.what for finding in findings] == [
        "changelog", "dataset folder", "dataset card", "model and results", "model card", "README",
        "README's results", "git tag",
    ]  # fmt: skip
    assert failing(made) == {}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


BREAKS = {
    "changelog": (lambda w: edit(w / "CHANGELOG.md", "## 1.0.0", "## 1.0.1"), "does not begin with ## 1.0.0"),
    "dataset folder": (lambda w: (w / "data/skills/skills.parquet").write_bytes(b"x"), "not the file that manifest"),
    "dataset card": (lambda w: (w / "data/README.md").write_text("of 0.9.0"), "is not the card of version 1.0.0"),
    "model and results": (
        lambda w: own_results(w / "model", dataset_version="0.9.0").save(w / "own.json"),
        "dataset version contradicts",
    ),
    "model card": (lambda w: edit(w / "model/README.md", "56.16", "57.16"), "is not what the records give"),
    "README": (lambda w: edit(w / "README.md", "@v1.0.0", "@v0.9.0"), "README.md pins v0.9.0, not v1.0.0"),
    "README's results": (
        lambda w: edit(w / "README.md", "45.11 [42.11", "45.10 [42.11"),
        "README.md's table lacks 45.11 [42.11, 48.11] on house",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_any_one_change_fails(work, what):
    spoil, message = BREAKS[what]
    spoil(work)
    found = failing(work)
    assert message in found[what]


def test_a_check_that_cannot_run_fails_and_the_others_go_on(work, monkeypatch):
    (work / "model/README.md").write_bytes(b"\xe9")
    monkeypatch.setenv("PATH", "")  # without git
    assert set(failing(work)) == {"model card", "git tag"}


def test_a_pinned_version_may_end_a_sentence(work):
    edit(work / "README.md", "NAMESPACE/m@v1.0.0", "It is pinned at NAMESPACE/m@v1.0.0.")
    assert failing(work) == {}


def test_another_version_fails_everywhere_but_in_the_card_which_fits_its_records(made):
    expected = {"changelog", "dataset folder", "dataset card", "model and results", "README"}
    assert set(failing(made, "1.1.0")) == expected


def test_another_dataset_version_fails(work):
    manifest([], version="1.1.0").save(work / "data")
    assert "is of version 1.1.0" in failing(work)["dataset folder"]


def test_a_git_tag_must_be_part_of_the_history(work):
    git(work, "commit", "-q", "--allow-empty", "-m", "one")
    git(work, "tag", "v1.0.0")
    git(work, "commit", "-q", "--allow-empty", "-m", "two")
    assert failing(work) == {}
    git(work, "checkout", "-q", "--orphan", "other")
    git(work, "commit", "-q", "--allow-empty", "-m", "three")
    assert failing(work)["git tag"] == "v1.0.0 is set on a commit that is not in this history"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import HfApi

    with HubServer(tmp_path / "hub", {"hf_t": User("ann")}) as server:
        monkeypatch.setattr(release_module, "HfApi", lambda: HfApi(endpoint=server.url, token="hf_t"))
        yield server


def test_the_hub_is_held_against_the_folders(made, hub):
    """Nothing there; then dataset and model published as they are; then a model that differs under the tag."""
    from huggingface_hub import HfApi

    from dataset_builder.hub_files import collect_files
    from dataset_builder.hub_publish import Version, publish

    api = HfApi(endpoint=hub.url, token="hf_t")

    def on_hub():
        return {finding.what.split()[2]: finding.wrong for finding in check_hub(release_at(made), "ann")}

    assert set(on_hub().values()) == {"there is no such repository"}
    data = collect_files(made / "data", "ann")
    publish(Version("dataset", "ann/synthetic-esco-skill-sentences", "v1.0.0", "manifest.json", data), api)
    publish(Version("model", "ann/esco-skill-biencoder", "v1.0.0", "manifest.json", data), api)
    api.create_repo("ann/r_precision_at_k", repo_type="space", space_sdk="gradio")
    found = on_hub()
    assert found["synthetic-esco-skill-sentences"] == ""
    assert "is published with other content: 1_Pooling/config.json" in found["esco-skill-biencoder"]
    assert found["r_precision_at_k"] == "v1.0.0 is not published"
    api.create_tag("ann/r_precision_at_k", tag="v1.0.0", repo_type="space")
    assert on_hub()["r_precision_at_k"] == ""


def test_the_hub_is_looked_at_under_the_names_in_the_records(work, hub):
    retrain(work, name="esco-skill-static")
    manifest([], name="nursing-sentences").save(work / "data")
    names = [finding.what for finding in check_hub(release_at(work), "ann")]
    assert names[:2] == ["Hub dataset nursing-sentences", "Hub model esco-skill-static"]
    (work / "data/manifest.json").unlink()
    (work / "model/training_record.json").unlink()
    names = [finding.what for finding in check_hub(release_at(work), "ann")]
    assert names[:2] == ["Hub dataset synthetic-esco-skill-sentences", "Hub model esco-skill-biencoder"]


def test_the_command_prints_a_line_a_check_and_fails_as_one(made, capsys, monkeypatch):
    monkeypatch.setattr("model_card.release.project_version", lambda: "7.0.0")
    folders = ["--dataset", str(made / "data"), "--model", str(made / "model"), "--results", str(made / "own.json")]
    with pytest.raises(StageError, match=r"checks of version 7\.0\.0 failed"):
        main(["--check", *folders])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert any(line.startswith("FAILS dataset folder") and "is of version 1.0.0" in line for line in lines)
