"""Several dataset folders over one label space -> one that says who wrote what."""

import json

import pytest
from datasets import load_dataset

from dataset_builder import merge as command
from dataset_builder import schema
from dataset_builder.contract import StageError
from dataset_builder.dataset_folder import read_sentences, write_tables
from dataset_builder.esco import Skill
from dataset_builder.schema import DatasetManifest, EscoSource, FiltersUsed, LanguageModel, Outcomes
from dataset_builder.sentences import Sentence
from dataset_builder.versions import columns_of, needed_step
from dataset_builder.whole_folder import Place
from tests.small_dataset import small_manifest

SKILLS = tuple(Skill(f"http://esco/{one}", f"skill {one}", (f"{one} too",), skill_type="knowledge") for one in "abc")
ESCO = EscoSource(version="1.1.0", language="en", skills=3, occupations=0, file_sha256={})


def folder_of(tmp_path, model, lines, skills=SKILLS, skills_asked=3, **changes):
    """A dataset folder with one sentence a (text, skill numbers) of `lines`."""
    folder = tmp_path / model
    folder.mkdir()
    sentences = [
        Sentence(text, tuple(skills[number] for number in numbers), "duty", "styled") for text, *numbers in lines
    ]
    written = {
        "version": "1.0.0",
        "esco": ESCO,
        "language_model": LanguageModel(model=model, base_url="", temperature=0.7, top_p=0.9, max_tokens=136),
        "skills": Outcomes(requested=skills_asked, accepted=2, rejected={"duplicate": skills_asked - 2}, failed={}),
        "sentences_accepted": len(sentences),
        **changes,
    }
    small_manifest(write_tables(folder, sentences, skills), **written).save(folder)
    return folder


def rows_of(folder):
    """(sentence, skill, model) of every row."""
    table = load_dataset(str(folder), "pairs")
    return {(row["sentence"], row["skill"], row["model"]) for split in table.values() for row in split}


@pytest.fixture
def two(tmp_path):
    """One folder of two sentences and one of three, of which one nearly repeats a sentence of the first."""
    first = folder_of(tmp_path, "claude", [("Weld hulls in the dry dock", 0), ("Answer calls of angry guests", 1)])
    second = folder_of(
        tmp_path,
        "qwen",
        [
            ("Weld hulls in the dry docks", 0),
            ("Cook for forty children and wash up", 1, 2),
            ("Prune our old apple trees", 2),
        ],
    )
    return first, second


def test_rows_say_who_wrote_them_and_the_first_folder_wins(tmp_path, two):
    """Five sentences, one of them nearly another: four are kept, one of them for two skills, so five rows."""
    manifest, written = command.merge(two, Place(tmp_path / "out", "2.0.0"))
    assert written
    assert rows_of(tmp_path / "out") == {
        ("Weld hulls in the dry dock", "skill a", "claude"),
        ("Answer calls of angry guests", "skill b", "claude"),
        ("Cook for forty children and wash up", "skill b", "qwen"),
        ("Cook for forty children and wash up", "skill c", "qwen"),
        ("Prune our old apple trees", "skill c", "qwen"),
    }
    assert [part.sentences_kept for part in manifest.parts] == [2, 2]
    assert manifest.sentences_accepted == 4
    assert manifest.histograms["model"] == {"claude": 2, "qwen": 2}
    assert manifest.models == ["claude", "qwen"]


def test_counts_are_the_parts_sums_and_the_repeat(tmp_path, two):
    """Outcomes: three skills asked for and three with rows. The near-repeat counts as rejected here."""
    parts = [DatasetManifest.load(folder) for folder in two]
    manifest, _ = command.merge(two, Place(tmp_path / "out", "2.0.0"))
    assert manifest.skills == Outcomes(requested=3, accepted=3, rejected={}, failed={})
    assert manifest.sentences_written == sum(part.sentences_written for part in parts)
    assert manifest.tokens.requests == sum(part.tokens.requests for part in parts)
    before = sum(sum(part.sentences_rejected.values()) for part in parts)
    assert sum(manifest.sentences_rejected.values()) == before + 1
    assert [part.data_sha256 for part in manifest.parts] == [part.data_sha256 for part in parts]


def test_a_sentence_that_both_have_counts_for_the_first_alone(tmp_path):
    """Two sentences each, one of them word for word in both: two of the first and one of the second are kept."""
    folders = [
        folder_of(tmp_path, "one", [("Weld hulls in the dry dock", 0), ("Prune our old apple trees", 2)]),
        folder_of(tmp_path, "two", [("Weld hulls in the dry dock", 0), ("Answer calls of angry guests", 1)]),
    ]
    manifest, _ = command.merge(folders, Place(tmp_path / "out", "2.0.0"))
    assert [part.sentences_kept for part in manifest.parts] == [2, 1]
    assert manifest.sentences_accepted == 3


def test_a_skill_without_rows_is_counted(tmp_path):
    """Nobody wrote about the third skill."""
    folders = [
        folder_of(tmp_path, "one", [("Weld hulls in the dry dock", 0)]),
        folder_of(tmp_path, "two", [("Answer calls of angry guests", 1)]),
    ]
    manifest, _ = command.merge(folders, Place(tmp_path / "out", "2.0.0"))
    assert manifest.skills == Outcomes(requested=3, accepted=2, rejected={command.NO_ROW: 1}, failed={})


@pytest.mark.parametrize(("requested", "said"), [(2, False), (3, True)])
def test_how_many_skills_were_asked_for_is_said_where_one_part_asked_for_all(tmp_path, requested, said):
    """Two parts about two of the three skills each: together it may have been two or three."""
    folders = [
        folder_of(tmp_path, "one", [("Weld hulls in the dry dock", 0)], skills_asked=2),
        folder_of(tmp_path, "two", [("Answer calls of angry guests", 1)], skills_asked=requested),
    ]
    command.merge(folders, Place(tmp_path / "out", "2.0.0"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("3 skills were asked for: 2 accepted,\n1 rejected, 0 failed.\nOf 206" in card) == said
    assert ("were asked for" in card) == said
    assert "\n\nOf 206 sentences written" in card or said


def test_the_card_shows_the_parts_side_by_side(tmp_path, two):
    command.merge(two, Place(tmp_path / "out", "2.0.0"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "by\n`claude` and `qwen`, for 3 of the" in card
    assert "|  | `claude` | `qwen` |\n| --- | --- | --- |" in card
    assert "| in this dataset | 2 | 2 |" in card
    assert "| `model` | string | which LLM wrote the sentence |" in card
    assert "None" not in card


def test_the_card_says_how_far_each_part_looked_for_its_skills(tmp_path):
    """The first within 1,127 names; the second within 10, or its nearest three; the third not at all."""
    bounds = {
        "one": ({"round_trip_k": 1127.0}, 0),
        "two": ({"round_trip_k": 10.0, "round_trip_far": 1127.0}, 3),
        "three": ({}, 0),
    }
    folders = [
        folder_of(
            tmp_path,
            name,
            [(f"Weld {name} hulls in our dry dock", 0), (f"Answer {name} angry guests by phone", 1)],
            quality={**small_manifest([]).quality, **quality},
            filters=FiltersUsed(round_trip_at_least=at_least),
        )
        for name, (quality, at_least) in bounds.items()
    ]
    command.merge(folders, Place(tmp_path / "out", "2.0.0"))
    card = (tmp_path / "out" / "README.md").read_text()
    cells = "among 1,127 names | among 10 names; the nearest 3 of a skill among 1,127 | not asked"
    assert f"| skill found again (round trip) | {cells} |" in card


def test_merging_again_gives_the_same_bytes_and_writes_nothing(tmp_path, two):
    one, _ = command.merge(two, Place(tmp_path / "out", "2.0.0"))
    other, written = command.merge(two, Place(tmp_path / "out", "2.0.0"))
    assert not written
    assert other == one
    with pytest.raises(StageError, match=r"holds version 2\.0\.0 with other content"):
        command.merge(two[::-1], Place(tmp_path / "out", "2.0.0"))


def test_a_new_column_is_a_major_step(tmp_path, two):
    """The column `model` is new since the second folder, so that 1.1.0 would hide it."""
    manifest, _ = command.merge(two, Place(tmp_path / "out", "2.0.0", str(two[1])))
    step = needed_step(DatasetManifest.load(two[1]), manifest, columns_of(two[1]), columns_of(tmp_path / "out"))
    assert step.step == "major"
    assert manifest.changes[0] == "since 1.0.0"
    assert "model: qwen -> claude and qwen" in manifest.changes
    with pytest.raises(StageError, match=r"hides a major change.*Use 2\.0\.0 or above"):
        command.merge(two, Place(tmp_path / "other", "1.1.0", str(two[1])))
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_merged_is_one_line(tmp_path, two, capsys):
    renamed = (*SKILLS[:2], Skill("http://esco/c", "another name"))
    other = folder_of(tmp_path, "other", [("Weld hulls", 0), ("Cook for guests", 1)], renamed)
    with pytest.raises(StageError, match="Merge datasets over the same skills"):
        command.merge([two[0], other], Place(tmp_path / "out", "2.0.0"))
    with pytest.raises(StageError, match="Name at least two"):
        command.merge(two[:1], Place(tmp_path / "out", "2.0.0"))
    command.merge(two, Place(tmp_path / "merged", "2.0.0"))
    with pytest.raises(StageError, match="is merged already"):
        command.merge([two[0], tmp_path / "merged"], Place(tmp_path / "out", "2.0.0"))
    with pytest.raises(StageError, match=r"'2\.0' is not of the form"):
        command.main([*map(str, two), "--version", "2.0", "--out", str(tmp_path / "out")])
    raw = folder_of(tmp_path, "raw", [("Sing to guests", 0)], filters=FiltersUsed(unfiltered=True))
    with pytest.raises(StageError, match="raw was built with --unfiltered"):
        command.merge([two[0], raw], Place(tmp_path / "out", "2.0.0"))
    (two[0] / "pairs" / "train.parquet").write_bytes(b"no Parquet")
    with pytest.raises(StageError, match=r"train\.parquet cannot be read"):
        command.merge(two, Place(tmp_path / "out", "2.0.0"))
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(tmp_path, two, capsys):
    command.main([*map(str, two), "--version", "2.0.0", "--out", str(tmp_path / "out"), "--name", "both"])
    said = capsys.readouterr().out
    assert "5 pairs for 3 of" in said
    assert "qwen: 2 of 3 sentences of version 1.0.0" in said
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["name"] == "both"


def test_the_folder_one_stands_in_is_a_place(tmp_path, two, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    command.main([*map(str, two), "--version", "2.0.0", "--out", "."])
    assert DatasetManifest.load(tmp_path / "here").version == "2.0.0"


def test_parts_by_one_model_are_named_once_and_told_apart_by_their_prompts(tmp_path, two):
    """Three parts by two models; the third writes as the first does, to other prompts."""
    (tmp_path / "more").mkdir()
    lines = [("Prune our young pear trees", 2)]
    third = folder_of(tmp_path / "more", "claude", lines, families={"full-sentence": 6})
    manifest, _ = command.merge([*two, third], Place(tmp_path / "out", "2.0.0"))
    assert manifest.models == ["claude", "qwen"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "|  | `claude` | `qwen` | `claude`, full-sentence |\n" in card
    digests = (DatasetManifest.load(one).data_sha256["pairs/train.parquet"][:12] for one in (*two, third))
    assert "| its `pairs/train.parquet`, SHA-256 | " + " | ".join(f"`{one}`" for one in digests) in card
    assert "small 1.0.0" not in card


def test_benchmark_hashes_stay_where_all_parts_agree(tmp_path):
    """Both left out copies of x.csv; of y.csv each knew another one."""
    lines = [("Weld hulls in the dry dock", 0)], [("Answer calls of angry guests", 1)]
    folders = [
        folder_of(tmp_path, name, of, filters=FiltersUsed(benchmarks_sha256={"x.csv": "1", "y.csv": name}))
        for name, of in zip(("one", "two"), lines, strict=True)
    ]
    manifest, _ = command.merge(folders, Place(tmp_path / "out", "2.0.0"))
    assert manifest.filters.benchmarks_sha256 == {"x.csv": "1"}


def test_sentences_are_read_back_as_they_were_written(tmp_path):
    """Order is by the URI of a sentence's first skill, then text."""
    sentences = [
        Sentence("Weld hulls", SKILLS[:1], "duty", "styled", "qwen"),
        Sentence("Cook", SKILLS[1:], "bullet", "co"),
    ]
    write_tables(tmp_path, sentences, SKILLS)
    read, label_space = read_sentences(tmp_path, "somebody")
    assert label_space == SKILLS
    assert read == [sentences[0], Sentence("Cook", SKILLS[1:], "bullet", "co", "somebody")]
    assert schema.MODEL in columns_of(tmp_path)["pairs/train.parquet"]
