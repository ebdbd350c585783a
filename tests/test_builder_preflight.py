"""What could not be written is refused before a request is sent, with a remedy that keeps the replies."""

import shutil

import pytest

from dataset_builder import build, merge
from dataset_builder.contract import run_command
from dataset_builder.esco import read_esco
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


def test_a_number_that_hides_another_column_is_refused_before_anything_is_asked(tmp_path, first, server, capsys):
    """A merged dataset has a column `model`, which a build's own lacks."""
    own = first.parent / "own.csv"
    build.main(arguments(own, tmp_path / "b", server, "--seed", "2"))
    merge.main([str(first), str(tmp_path / "b"), "--version", "2.0.0", "--out", str(tmp_path / "m")])
    more = ["--previous", tmp_path / "m"]
    said = refusal_of(arguments(own, tmp_path / "c", server, *more, version="2.1.0"), server, capsys)
    assert "version 2.1.0 after 2.0.0 hides a major change (columns of pairs/train.parquet: sentence string" in said
    assert "Use 3.0.0 or above, with --journal" in said
    assert not (tmp_path / "c.journal.sqlite").exists()
    build.main(arguments(own, tmp_path / "c", server, *more, version="3.0.0"))
    assert DatasetManifest.load(tmp_path / "c").version == "3.0.0"


@pytest.mark.parametrize("language", ["german", "pt-BR", "", "d1"])
def test_a_language_that_is_no_code_is_refused_before_anything_is_asked(tmp_path, first, server, capsys, language):
    given = arguments(first.parent / "own.csv", tmp_path / "d", server, "--language", language)
    said = refusal_of(given, server, capsys)
    assert f"--language is a code of two letters such as de, not {language.lower()!r}" in said
    assert len(said.splitlines()) == 1


def test_a_language_in_capitals_is_that_language(tmp_path, first, server):
    """The same folder as in small letters, from the same requests: nothing is asked again."""
    journal = ["--journal", f"{first}.journal.sqlite"]
    before = server.requests
    build.main(arguments(first.parent / "own.csv", tmp_path / "d", server, "--language", "EN", *journal))
    assert server.requests == before
    assert DatasetManifest.load(tmp_path / "d").esco.language == "en"


def test_a_journal_that_is_not_there_is_refused_and_not_made(tmp_path, first, server, capsys):
    own = first.parent / "own.csv"
    given = arguments(own, tmp_path / "d", server, "--journal-only", "--journal", tmp_path / "no" / "j.sqlite")
    said = refusal_of(given, server, capsys)
    assert said.endswith(
        f"--journal-only: {tmp_path}/no/j.sqlite does not exist. Name the file of replies with --journal"
    )
    assert list(tmp_path.iterdir()) == []
    build.main([*given, "--dry-run"])
    assert "requests            3" in capsys.readouterr().out


def test_a_plan_that_asks_for_nothing_is_said_to(tmp_path, repo, first, server, capsys):
    """A file without skills; and co-mentions of the one skill of the sample that no occupation needs."""
    (tmp_path / "none.txt").write_text("\n")
    given = arguments(first.parent / "own.csv", tmp_path / "d", server, "--skills-file", tmp_path / "none.txt")
    assert "the plan asks for nothing: it has no skill. Name some" in refusal_of(given, server, capsys)
    sample = repo / "dataset_builder/sample_esco"
    release = read_esco(sample)
    needed = {uri for one in release.occupations for uri in one.essential_skills}
    left = next(skill.uri for skill in release.skills if skill.uri not in needed)
    (tmp_path / "one.txt").write_text(f"{left}\n")
    more = ["--skills-file", tmp_path / "one.txt", "--families", "co-mention"]
    said = refusal_of(arguments(sample, tmp_path / "d", server, *more), server, capsys)
    assert "the plan asks for nothing: no occupation fits co-mention for any of its 1 skills. Take a family" in said


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
