"""What could not be written is refused before a request is sent, with a remedy that keeps the replies."""

import shutil

import pytest

from dataset_builder import build
from dataset_builder.contract import run_command
from dataset_builder.schema import PAIRS_FILES, DatasetManifest
from dataset_builder.stub_server import StubServer


@pytest.fixture(scope="module")
def server():
    with StubServer() as running:
        yield running


def taxonomy(folder, name, skills=3):
    path = folder / f"{name}.csv"
    path.write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(skills)))
    return path


def arguments(place, out, server, *more, version="1.0.0"):
    given = ["--esco", place, "--out", out, "--version", version, "--base-url", server.url, "--model", "stub"]
    return [str(value) for value in [*given, *more]]


@pytest.fixture(scope="module")
def first(tmp_path_factory, server):
    """A dataset over three skills, with its journal."""
    folder = tmp_path_factory.mktemp("first")
    build.main(arguments(taxonomy(folder, "own"), folder / "1.0.0", server))
    return folder / "1.0.0"


def refusal_of(given, server, capsys):
    """The line of a refused build, that sent nothing and kept no journal."""
    before = server.requests
    capsys.readouterr()
    assert run_command(build.main, given) == 2
    assert server.requests == before
    return capsys.readouterr().err.strip()


def test_a_folder_of_something_else_is_refused_before_anything_is_asked(tmp_path, server, capsys):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("ten years of work")
    said = refusal_of(arguments(taxonomy(tmp_path, "own"), tmp_path / "d", server), server, capsys)
    assert "exists and holds no dataset" in said
    assert f"--journal {tmp_path / 'd.journal.sqlite'}" in said
    assert not list(tmp_path.glob("*.sqlite"))


def test_another_version_in_the_folder_is_refused_before_anything_is_asked(tmp_path, first, server, capsys):
    given = arguments(taxonomy(tmp_path, "own", 5), first, server, version="1.1.0")
    said = refusal_of(given, server, capsys)
    assert "holds version 1.0.0 with other content" in said
    assert f"--journal {first}.journal.sqlite" in said


def test_a_number_that_hides_another_taxonomy_is_refused_before_anything_is_asked(tmp_path, first, server, capsys):
    more = ["--previous", first]
    given = arguments(taxonomy(tmp_path, "other"), tmp_path / "1.1.0", server, *more, version="1.1.0")
    said = refusal_of(given, server, capsys)
    assert "version 1.1.0 after 1.0.0 hides a major change (own (en)" in said
    assert f"Use 2.0.0 or above, with --journal {tmp_path / '1.1.0.journal.sqlite'} to keep the replies" in said
    given = arguments(tmp_path / "other.csv", tmp_path / "2.0.0", server, *more, version="2.0.0")
    build.main(given)
    assert DatasetManifest.load(tmp_path / "2.0.0").version == "2.0.0"


def test_a_number_that_hides_other_prompts_or_rows_is_refused_before_anything_is_asked(first, server, capsys):
    """Ten lines a skill are other rows than four: a minor step. The taxonomy is that of the version before."""
    own, more = first.parent / "own.csv", ["--previous", first]
    other = [*more, "--families", "paper"]
    said = refusal_of(arguments(own, first.parent / "p", server, *other, version="1.1.0"), server, capsys)
    assert "hides a major change (prompt families styled 1.0 -> paper 1.0). Use 2.0.0 or above, with --journal" in said
    rows = [*more, "--sentences-per-skill", "10"]
    said = refusal_of(arguments(own, first.parent / "r", server, *rows, version="1.0.1"), server, capsys)
    assert "hides a minor change (replies that are not there yet). Use 1.1.0 or above, with --journal" in said


def test_a_version_before_that_is_not_whole_is_refused_before_anything_is_asked(tmp_path, first, server, capsys):
    own = first.parent / "own.csv"
    given = arguments(own, tmp_path / "d", server, "--previous", tmp_path / "nowhere", version="1.1.0")
    assert "nowhere/manifest.json does not exist" in refusal_of(given, server, capsys)
    half = shutil.copytree(first, tmp_path / "half")
    (half / PAIRS_FILES["train"]).unlink()
    given = arguments(own, tmp_path / "d", server, "--previous", half, version="1.1.0")
    assert f"--previous {half} is no whole dataset" in refusal_of(given, server, capsys)


def test_benchmarks_that_cannot_be_used_are_refused_before_anything_is_asked(tmp_path, first, server, capsys):
    own, benchmarks = first.parent / "own.csv", ["--benchmarks", tmp_path / "b"]
    given = arguments(own, tmp_path / "d", server, *benchmarks)
    assert "holds no benchmark CSV" in refusal_of(given, server, capsys)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a_validation.csv").write_text("sentence,label\nYou bake.,bake bread\n")
    given = [*given, "--round-trip-encoder", "encoder"]
    assert "with labels of this release. Give --round-trip-k K" in refusal_of(given, server, capsys)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_asked(tmp_path, first, server, capsys):
    (tmp_path / "file").write_text("x")
    more = ["--journal", tmp_path / "j.sqlite"]
    given = arguments(first.parent / "own.csv", tmp_path / "file" / "d", server, *more)
    assert "file/d cannot be made in" in refusal_of(given, server, capsys)
