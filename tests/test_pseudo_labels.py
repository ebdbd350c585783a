"""A teacher labels parts of real sentences: what is taken for a part, which labels count, what is written."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from dataset_builder.contract import EXIT_USER_ERROR, StageError, run_command, sha256_of_file
from tests.tiny_encoder import tiny_esco, write_tiny_encoder
from training import pseudo_labels
from training.pseudo_labels import (
    LabelledSentence,
    PartedSentence,
    clauses_of,
    label_sentences,
    part_sentences,
    read_spans,
    without_copies,
)
from training.skillskape import read_skillskape
from training.teacher import Teacher


class FixedTeacher:
    """Knows the scores of some texts by heart."""

    def __init__(self, **known):
        self.known = {text.replace("_", " "): answer for text, answer in known.items()}

    def nearest(self, texts):
        return [self.known.get(text, ("nothing", 0.0)) for text in texts]


def skillspan(path: Path, *rows) -> Path:
    """Rows of (tokens, skill tags, knowledge tags), each as one string."""
    lines = [
        json.dumps({"idx": 1, "tokens": tokens.split(), "tags_skill": list(skills), "tags_knowledge": list(knowledge)})
        for tokens, skills, knowledge in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_spans_of_both_layers_are_parts(tmp_path):
    """`bake bread` and `carve wood` touch: the second begins with B. A span with a mask names nothing."""
    path = skillspan(
        tmp_path / "train.json",
        ("You bake bread carve wood with Java", "OBIBIOO", "OOOOOOB"),
        ("Nothing here", "OO", "OO"),
        ("Know <ORGANIZATION> tools", "OOO", "OBI"),
        ("You bake bread carve wood with Java", "OOOOOOO", "OOOOOBI"),
    )
    assert read_spans(path) == [
        PartedSentence("You bake bread carve wood with Java", ("bake bread", "carve wood", "Java", "with Java"))
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json\n", "line 1 is not a SkillSpan sentence"),
        ('{"tokens": ["a"], "tags_skill": ["O"]}\n', "tags_knowledge"),
        ('{"tokens": ["a", "b"], "tags_skill": ["O"], "tags_knowledge": ["O", "O"]}\n', "line 1"),
        ('{"tokens": "ab", "tags_skill": 3, "tags_knowledge": []}\n', "line 1"),
    ],
)
def test_files_that_are_no_skillspan(tmp_path, content, words):
    path = tmp_path / "train.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StageError, match=words):
        read_spans(path)
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(StageError, match="not UTF-8"):
        read_spans(path)
    with pytest.raises(StageError, match="does not exist"):
        read_spans(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Plan menus, bake bread and eat.", ("Plan menus, bake bread and eat", "Plan menus", "bake bread")),
        ("* Weld steel (e.g. thin sheets)", ("Weld steel (e.g. thin sheets)", "Weld steel", "thin sheets")),
        ("Bread", ()),
        ("Uses node.js daily", ("Uses node.js daily",)),
    ],
)  # fmt: skip
def test_clauses_of_a_sentence(sentence, expected):
    assert clauses_of(sentence) == expected


def test_only_what_looks_like_an_ad_is_sampled_and_the_seed_decides():
    good = [f"Bakes bread of kind number {number} daily" for number in range(20)]
    bad = [
        "Do you bake bread every day?",
        "I bake bread every day",
        "Bake bread",
        "word " * 40,
        "Please choose one answer",
    ]
    every = part_sentences([*bad, *good, good[0]], limit=100, seed=1)
    assert [one.sentence for one in every] == good
    some = part_sentences(good, limit=5, seed=1)
    assert len({one.sentence for one in some}) == 5
    assert some == part_sentences(good, limit=5, seed=1) != part_sentences(good, limit=5, seed=2)


def test_labels_count_from_the_bound_on_and_so_often_a_skill():
    teacher = FixedTeacher(bake=("bake bread", 0.9), weld=("weld steel", 0.7), carve=("carve wood", 0.69))
    sentences = [
        PartedSentence("one", ("bake", "weld", "carve", "bake")),
        PartedSentence("two", ("carve", "unknown")),
        PartedSentence("three", ("bake",)),
    ]
    assert label_sentences(sentences, teacher, 0.7) == [
        LabelledSentence("one", ("bake bread", "weld steel")),
        LabelledSentence("three", ("bake bread",)),
    ]
    assert label_sentences(sentences, teacher, 0.7, per_skill=1) == [
        LabelledSentence("one", ("bake bread", "weld steel"))
    ]


def test_a_sentence_that_is_taken_may_keep_the_labels_of_skills_that_have_enough():
    """Three says bake, which has its one sentence, and carve, which has none; four says nothing that is wanted."""
    teacher = FixedTeacher(bake=("bake bread", 0.9), weld=("weld steel", 0.7), carve=("carve wood", 0.8))
    sentences = [
        PartedSentence("one", ("bake", "weld")),
        PartedSentence("two", ("bake",)),
        PartedSentence("three", ("bake", "carve")),
        PartedSentence("four", ("weld", "bake")),
    ]
    one = LabelledSentence("one", ("bake bread", "weld steel"))
    dropped = [one, LabelledSentence("three", ("carve wood",))]
    kept = [one, LabelledSentence("three", ("bake bread", "carve wood"))]
    assert label_sentences(sentences, teacher, 0.7, per_skill=1) == dropped
    assert label_sentences(sentences, teacher, 0.7, per_skill=1, all_labels=True) == kept
    assert label_sentences(sentences, teacher, 0.7, all_labels=True) == label_sentences(sentences, teacher, 0.7)


def test_the_teacher_s_label_vectors_are_as_the_slow_way_makes_them(tmp_path):
    """Own vector plus half the mean of the first six alternatives', by a loop; a skill without any counts itself."""
    esco = tiny_esco()
    many = dataclasses.replace(esco.skills[0], alternative_labels=tuple(f"bread number {n}" for n in range(9)))
    none = dataclasses.replace(esco.skills[1], alternative_labels=())
    esco = dataclasses.replace(esco, skills=(many, none, *esco.skills[2:]))
    teacher = Teacher(write_tiny_encoder(tmp_path / "encoder"), esco, "fp32")
    encoder = teacher._encoder
    for position, skill in enumerate(esco.skills):
        own, *rest = encoder.encode(
            [skill.label, *(skill.alternative_labels[:6] or [skill.label])], normalize_embeddings=True
        )
        slow = torch.tensor(own + 0.5 * sum(rest) / len(rest))
        torch.testing.assert_close(teacher._label_vectors[position], slow / slow.norm(), atol=1e-5, rtol=0)
    (found,) = teacher.nearest(["weld steel"])
    cosines = torch.tensor(encoder.encode(["weld steel"], normalize_embeddings=True)) @ teacher._label_vectors.T
    assert found == (teacher.labels.labels[int(cosines.argmax())], pytest.approx(float(cosines.max()), abs=1e-5))


@pytest.fixture
def benchmarks(tmp_path):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    rows = "sentence,label\nYou bake fresh bread in our old town ovens,bake bread\nWeld steel,LABEL NOT PRESENT\n"
    (folder / "a_test.csv").write_text(rows, encoding="utf-8")
    return folder


def test_copies_of_benchmark_sentences_are_left_out(benchmarks):
    """A copy but for case and stops, one of another letter, one that had no label, and one that is no copy."""
    texts = ["you bake fresh bread in our old town ovens .", "You bake fresh bread in our old town oven", "weld steel"]
    sentences = [PartedSentence(text, (text,)) for text in [*texts, "You carve wood for ships"]]
    assert [one.sentence for one in without_copies(sentences, benchmarks)] == ["You carve wood for ships"]


def test_texts_that_hold_a_benchmark_sentence_are_left_out(benchmarks):
    """One of nine words amid others, whatever its stops; `Weld steel`, of two, stands everywhere."""
    texts = [
        "Early start. You bake fresh bread, in our old town ovens! Free coffee.",
        "You weld steel all day, and bake fresh bread in our old ovens of the town",
    ]
    sentences = [PartedSentence(text, (text,)) for text in texts]
    assert without_copies(sentences, benchmarks) == sentences[1:]


@pytest.fixture
def arguments(tmp_path, benchmarks):
    esco = tmp_path / "esco"
    esco.mkdir()
    columns = "conceptUri,preferredLabel,altLabels,description,skillType"
    rows = [f"{one.uri},{one.label},{one.alternative_labels[0]},,skill/competence" for one in tiny_esco().skills]
    (esco / "skills_en.csv").write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    encoder = write_tiny_encoder(tmp_path / "teacher")
    given = [
        "--teacher",
        encoder,
        "--esco",
        esco,
        "--benchmarks",
        benchmarks,
        "--out",
        tmp_path / "out" / "pseudo.csv",
    ]
    return [str(value) for value in given]


def test_the_command_writes_what_training_reads(arguments, tmp_path, capsys):
    spans = skillspan(
        tmp_path / "train.json",
        ("we weld steel and bake bread", "OBIOBI", "OOOOOO"),
        ("you bake fresh bread in our old town ovens", "OBIIOOOOO", "OOOOOOOOO"),
    )
    sentences = tmp_path / "real.txt"
    sentences.write_text("Teach law in the team, carve wood\nDo you need data in the team\n", encoding="utf-8")
    pseudo_labels.main([*arguments, "--spans", str(spans), "--sentences", str(sentences)])
    rows = dict(read_skillskape(str(tmp_path / "out" / "pseudo.csv")))
    assert set(rows["we weld steel and bake bread"]) == {"weld steel", "bake bread"}
    assert rows["bake bread"] == ("bake bread",)
    assert "weld steel" not in rows  # a benchmark sentence, alone
    assert "carve wood" in rows["Teach law in the team, carve wood"]
    assert not any("ovens" in text or "need data" in text for text in rows)
    about = json.loads((tmp_path / "out" / "pseudo.json").read_text(encoding="utf-8"))
    assert about["copies_of_benchmark_sentences"] == 1
    assert about["labelled"]["sentences_with_spans"] == {"sentences": 1, "pairs": 2, "skills": 2}
    assert about["sha256"] == sha256_of_file(tmp_path / "out" / "pseudo.csv")
    assert str(tmp_path) not in json.dumps(about)
    assert "sentences with spans: 1 labelled, 2 pairs, 2 skills" in capsys.readouterr().out
    first = (tmp_path / "out" / "pseudo.csv").read_bytes()
    pseudo_labels.main([*arguments, "--spans", str(spans), "--sentences", str(sentences)])
    assert (tmp_path / "out" / "pseudo.csv").read_bytes() == first


def test_the_command_labels_again_without_its_teacher(arguments, tmp_path, capsys):
    spans = skillspan(tmp_path / "train.json", ("we weld iron and bake bread", "OBIOBI", "OOOOOO"))
    kept = tmp_path / "kept.parquet"
    given = [*arguments, "--spans", str(spans), "--least-score-span", "-0.5"]
    pseudo_labels.main([*given, "--keep", str(kept)])
    csv_file, about = tmp_path / "out" / "pseudo.csv", tmp_path / "out" / "pseudo.json"
    first, teacher = csv_file.read_bytes(), json.loads(about.read_text())["teacher"]
    csv_file.unlink()
    place = given.index("--teacher") + 1
    pseudo_labels.main([*given[:place], str(kept), *given[place + 1 :]])
    assert csv_file.read_bytes() == first
    assert json.loads(about.read_text())["teacher"] == teacher
    assert "not among the kept labels" not in capsys.readouterr().out
    other = skillspan(tmp_path / "other.json", ("we sail ships", "OBI", "OOO"))
    more = [*given[:place], str(kept), *given[place + 1 :], "--spans", str(other), "--least-score-span", "-1"]
    pseudo_labels.main(more)
    assert "1 of 1 texts are not among the kept labels, and got none" in capsys.readouterr().out
    assert dict(read_skillskape(str(csv_file))) == {}


def test_a_span_that_copies_a_benchmark_sentence_is_no_text_of_its_own(arguments, tmp_path):
    """The sentences are no copies; one span is one of `Weld steel`, one of `You bake ... ovens` but for a letter."""
    spans = skillspan(
        tmp_path / "train.json",
        ("in our shop for ships and cars we weld steel", "OOOOOOOOBI", "OOOOOOOOOO"),
        ("what we want is that you bake fresh bread in our old town oven every day", "OOOOOBIIIIIIIIOO", "O" * 16),
        ("we carve wood", "OBI", "OOO"),
    )
    pseudo_labels.main([*arguments, "--spans", str(spans), "--least-score-span", "-1"])
    rows = dict(read_skillskape(str(tmp_path / "out" / "pseudo.csv")))
    assert [text for text in rows if text.startswith(("weld", "you bake", "carve"))] == ["carve wood"]
    assert len(rows) == 4
    about = json.loads((tmp_path / "out" / "pseudo.json").read_text(encoding="utf-8"))
    assert (about["copies_of_benchmark_sentences"], about["spans_that_copy_benchmark_sentences"]) == (0, 2)
    assert about["labelled"]["spans"]["sentences"] == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "nothing to label. Give --spans"),
        (["--sentences", "x", "--least-score-span", "2"], "--least-score-span is a cosine from -1 to 1, got 2"),
        (["--sentences", "x", "--limit", "0"], "--limit must be at least 1, got 0"),
        (["--sentences", "x", "--out", "x.json"], "--out must end in .csv, got x.json"),
        (["--sentences", "x", "--keep", "x.pq"], "--keep must end in .parquet, got x.pq"),
        (["--sentences", "x", "--keep", "x.parquet", "--teacher", "a", "b"], "--keep keeps what one teacher says. Run"),
        (["--sentences", "absent.txt"], "absent.txt does not exist"),
    ],
)
def test_errors_are_one_line(arguments, capsys, more, words):
    assert run_command(pseudo_labels.main, [*arguments, *more]) == EXIT_USER_ERROR
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1


def test_a_file_without_a_sure_label_has_no_rows(arguments, tmp_path):
    sentences = tmp_path / "real.txt"
    sentences.write_text("Teach law in the team daily\n", encoding="utf-8")
    pseudo_labels.main([*arguments, "--sentences", str(sentences), "--least-score-clause", "1"])
    with (tmp_path / "out" / "pseudo.csv").open(encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["sentence", "skills"]]
