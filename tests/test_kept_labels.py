"""Labels that a teacher gave once, kept by hash: the same again without the teacher, and what they are refused for."""

import json

import pyarrow.parquet as pq
import pytest

from dataset_builder.contract import StageError
from dataset_builder.seeded import stable_number
from tests.test_pseudo_labels import FixedTeacher
from training.kept_labels import SCHEMA, UNKNOWN, KeptLabels, Notes, are_kept_labels
from training.label_space import LabelSpace
from training.pseudo_labels import LabelledSentence, PartedSentence, label_sentences
from training.run_record import ModelSource, TrainingRecord

TEACHER = ModelSource(id="our/teacher", revision="v1", weights_sha256="0" * 64)
LABELS = LabelSpace(("bake bread", "weld steel"), ("urn:1", "urn:2"), "1.1.0")


def kept_in(path, **known):
    notes = Notes(FixedTeacher(**known), LABELS, TEACHER)
    notes.nearest([text.replace("_", " ") for text in known])
    notes.save(path)
    return path


def test_what_is_kept_comes_back_and_nothing_else(tmp_path):
    path = kept_in(tmp_path / "deep" / "kept.parquet", you_weld=("weld steel", 0.75), you_bake=("bake bread", 0.5))
    kept = KeptLabels(path, LABELS)
    assert kept.nearest(["you bake", "you sing", "you weld"]) == [
        ("bake bread", 0.5),
        ("bake bread", UNKNOWN),
        ("weld steel", 0.75),
    ]
    assert kept.teacher == TEACHER


def test_texts_that_are_not_kept_are_counted_labelled_by_no_bound_and_not_kept_on(tmp_path):
    """Two of three texts, one asked twice; a bound of -1 takes any cosine."""
    path = kept_in(tmp_path / "kept.parquet", you_weld=("weld steel", 0.75))
    notes = Notes(KeptLabels(path, LABELS), LABELS, TEACHER)
    sentences = [PartedSentence(text, (text,)) for text in ("you weld", "you sing", "you row")]
    assert label_sentences(sentences, notes, -1.0) == [LabelledSentence("you weld", ("weld steel",))]
    notes.nearest(["you sing"])
    assert notes.told() == (2, 3)
    notes.save(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_no_text_is_in_the_file(tmp_path):
    """A hash by hand: SHA-256 of "abc" begins with ba7816bf 8f01cfea."""
    assert stable_number("abc") == 0xBA7816BF8F01CFEA
    path = kept_in(tmp_path / "kept.parquet", you_weld=("weld steel", 0.75))
    assert pq.read_table(path).to_pylist() == [{"text": stable_number("you weld"), "label": 1, "score": 0.75}]
    assert b"you weld" not in path.read_bytes()


def test_the_same_words_give_the_same_bytes(tmp_path):
    one = kept_in(tmp_path / "one.parquet", a=("weld steel", 0.75), b=("bake bread", 0.5))
    two = kept_in(tmp_path / "two.parquet", b=("bake bread", 0.5), a=("weld steel", 0.75))
    assert one.read_bytes() == two.read_bytes()


def test_other_labels_and_other_files_are_refused(tmp_path):
    path = kept_in(tmp_path / "kept.parquet", a=("weld steel", 0.75))
    with pytest.raises(StageError, match="of another label space"):
        KeptLabels(path, LabelSpace(("weld steel", "bake bread"), ("urn:2", "urn:1"), "1.1.0"))
    (tmp_path / "csv.parquet").write_text("sentence,skills\n")
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), tmp_path / "bare.parquet")
    for name in ("csv.parquet", "bare.parquet", "absent.parquet"):
        with pytest.raises(StageError, match="holds no kept labels"):
            KeptLabels(tmp_path / name, LABELS)
    assert not are_kept_labels(str(tmp_path))
    assert not are_kept_labels("our/teacher.parquet")


@pytest.mark.parametrize("name", ["mpnet", "mpnet_mean_wide"])
def test_the_labels_of_this_repository_are_of_the_released_label_space(repo, name):
    """They say nothing but hashes, numbers of ESCO's 13,891 labels, and cosines; results lead to their teachers."""
    results = json.loads((repo / "results" / "mpnet.json").read_text(encoding="utf-8"))
    student = TrainingRecord.load(repo / "results" / "minilm-110m-labels")
    teachers = {"mpnet": student.teacher.weights_sha256, "mpnet_mean_wide": results["system"]["weights_sha256"]}
    table = pq.read_table(repo / "training" / "teacher_labels" / f"{name}.parquet")
    about = table.schema.metadata
    assert about[b"labels_sha256"].decode() == results["label_space"]["sha256"]
    assert ModelSource.model_validate_json(about[b"teacher"]).weights_sha256 == teachers[name]
    assert table.schema.remove_metadata() == SCHEMA
    assert table.num_rows > 20_000
    assert 0 <= min(table["label"].to_pylist()) <= max(table["label"].to_pylist()) < 13_891
    assert all(0 < score <= 1.001 for score in table["score"].to_pylist())
