"""Labels that a teacher gave once, kept by hash: the same again without the teacher, and what they are refused for."""

import pyarrow.parquet as pq
import pytest

from dataset_builder.contract import StageError
from tests.test_pseudo_labels import FixedTeacher
from training.kept_labels import UNKNOWN, KeptLabels, Notes, are_kept_labels, hash_of
from training.label_space import LabelSpace
from training.run_record import ModelSource

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


def test_no_text_is_in_the_file(tmp_path):
    """A hash by hand: SHA-256 of "abc" begins with ba7816bf 8f01cfea."""
    assert hash_of("abc") == 0xBA7816BF8F01CFEA
    path = kept_in(tmp_path / "kept.parquet", you_weld=("weld steel", 0.75))
    assert pq.read_table(path).to_pylist() == [{"text": hash_of("you weld"), "label": 1, "score": 0.75}]
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
