"""A judged folder: damaged files, verdicts of people, and the taxonomy that it was built from."""

import pytest

from dataset_builder import card, judge
from dataset_builder.contract import StageError
from dataset_builder.dataset_folder import write_tables
from dataset_builder.esco import Skill
from dataset_builder.judged_files import by_hand_file
from dataset_builder.schema import PAIRS_FILES, EscoSource
from dataset_builder.sentences import Sentence
from dataset_builder.stub_server import StubBehaviour, StubServer
from tests.small_dataset import small_manifest

HEAD = "conceptUri,preferredLabel,altLabels,description,skillType\n"
LABELS = ("Brot backen", "Rohre schweissen")


@pytest.fixture
def dataset(tmp_path):
    """A German dataset over two skills of ESCO 1.1.0."""
    skills = tuple(Skill(f"urn:{n}", label) for n, label in enumerate(LABELS))
    sentences = [Sentence(f"Satz {n} von vier.", (skills[n % 2],), "duty", "styled") for n in range(4)]
    folder = tmp_path / "d"
    folder.mkdir()
    esco = EscoSource(version="1.1.0", language="de", skills=2, occupations=0, file_sha256={})
    small_manifest(write_tables(folder, sentences, skills), esco=esco).save(folder)
    return folder


def release_in(folder, version=""):
    """A folder of ESCO's files in two languages, whose name says the version where there is one."""
    place = folder / f"esco{version and '-v'}{version}"
    place.mkdir()
    for language in ("de", "en"):
        rows = [f"urn:{n},{label},,In {language}.,knowledge\n" for n, label in enumerate(LABELS)]
        (place / f"skills_{language}.csv").write_text(HEAD + "".join(rows))
    return place


@pytest.mark.parametrize("version", ["1.1.0", ""])
def test_descriptions_come_in_the_language_of_the_dataset(dataset, tmp_path, version):
    given = [str(dataset), "--esco", str(release_in(tmp_path, version)), "--sample", "3", "--by-hand"]
    judge.main(given)
    assert by_hand_file(dataset).read_text().count("In de.") == 3
    by_hand_file(dataset).unlink()
    judge.main([*given, "--language", "EN"])
    assert by_hand_file(dataset).read_text().count("In en.") == 3


def test_another_release_of_esco_is_refused_and_a_taxonomy_with_its_descriptions_is_not(dataset, tmp_path):
    given = [str(dataset), "--by-hand", "--esco"]
    with pytest.raises(StageError, match=r"was built from ESCO 1\.1\.0 \(de\), not ESCO 1\.2\.0 \(de\)"):
        judge.main([*given, str(release_in(tmp_path, "1.2.0"))])
    assert not by_hand_file(dataset).exists()
    (tmp_path / "own.csv").write_text("id,label,description\nurn:0,Brot backen,Im Ofen.\nurn:1,Rohre,Heiss.\n")
    judge.main([*given, str(tmp_path / "own.csv")])
    assert "Im Ofen." in by_hand_file(dataset).read_text()


def test_pairs_that_are_no_parquet_are_named(dataset, tmp_path):
    """As Git leaves a file where its large ones were not fetched."""
    (dataset / PAIRS_FILES["train"]).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\n")
    with pytest.raises(StageError, match=r"train\.parquet cannot be read \("):
        judge.main([str(dataset), "--esco", str(release_in(tmp_path)), "--by-hand"])
    with pytest.raises(StageError, match=r"train\.parquet cannot be read \("):
        card.main([str(dataset)])


def test_a_judge_that_said_nothing_leaves_no_file(dataset, tmp_path):
    given = [str(dataset), "--esco", str(release_in(tmp_path)), "--model", "referee", "--base-url"]
    with StubServer(StubBehaviour(status=401)) as server, pytest.raises(StageError):
        judge.main([*given, server.url])
    assert not list(tmp_path.glob("*judged_so_far*"))


def test_verdicts_of_people_count_whatever_stands_after_them(dataset):
    """Yes, no and one without verdict, before a column of notes that is empty: one of two is right."""
    head = "sentence,skill,description,verdict,note\n"
    by_hand_file(dataset).write_text(head + "".join(f"x,s,d,{one},\n" for one in ("yes", "no", "")))
    assert card.with_verdicts(small_manifest([]), dataset).quality["judged_by_hand_correct"] == 0.5
    by_hand_file(dataset).write_text(head + "x,s,d, ,looks odd\n")
    assert "judged_by_hand_correct" not in card.with_verdicts(small_manifest([]), dataset).quality
    by_hand_file(dataset).write_text("sentence,skill,notes\nx,s,\n")
    with pytest.raises(StageError, match="no column 'verdict'"):
        card.with_verdicts(small_manifest([]), dataset)
