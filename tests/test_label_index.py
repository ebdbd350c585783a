"""model_card.label_index: what is written, what is refused."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease, Skill, read_esco
from model_card.label_index import (
    EMBEDDINGS_FILE,
    build_label_index,
    encode_labels,
    open_label_index,
    weight_files,
)
from model_card.skill_table import SKILLS_FILE, top_group
from tests.card_folders import write_esco, write_tiny_model
from tests.card_records import RELEASE, URI

VECTORS = {"bake bread": [3.0, 4.0], "weld pipes": [0.0, 2.0], "Python": [5.0, 0.0]}


class PlantedEncoder:
    """Gives each known label a planted vector, not of length 1."""

    def __init__(self):
        self.calls = 0

    def encode(self, sentences):
        self.calls += 1
        return np.array([VECTORS[text] for text in sentences], dtype=np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"exported")
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "model.safetensors").write_bytes(b"half way")
    return tmp_path


def test_embeddings_have_length_one_in_label_order(folder):
    """(3, 4) has length 5, so it becomes (0.6, 0.8); (0, 2) becomes (0, 1) and (5, 0) becomes (1, 0)."""
    index = build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    assert index.labels == ("bake bread", "weld pipes", "Python")
    assert index.embeddings.dtype == np.float16
    np.testing.assert_allclose(index.embeddings, [[0.6, 0.8], [0, 1], [1, 0]], atol=1e-3)


def test_a_model_that_scores_by_tokens_keeps_lengths(folder):
    """Lengths of (3, 4), (0, 2) and (5, 0); an index made for the other way to score does not fit."""
    assert build_label_index(RELEASE, PlantedEncoder, folder, "tiny").lengths is None
    encoder = PlantedEncoder()
    index = build_label_index(RELEASE, lambda: encoder, folder, "tiny", by_tokens=True)
    assert encoder.calls == 1
    assert index.lengths.tolist() == [5.0, 2.0, 5.0]
    assert open_label_index(folder).lengths.dtype == np.float32
    build_label_index(RELEASE, lambda: pytest.fail("encoded again"), folder, "tiny", by_tokens=True)
    assert build_label_index(RELEASE, PlantedEncoder, folder, "tiny").lengths is None


def test_metadata_ties_it_to_every_weight_file_but_checkpoints(folder):
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    with safe_open(folder / EMBEDDINGS_FILE, framework="np") as file:
        metadata = file.metadata()
    # printf weights | sha256sum; printf exported | sha256sum
    assert json.loads(metadata["weights_sha256"]) == {
        "model.safetensors": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
        "onnx/model.onnx": "427da8ba22c9532ad8030312c9c265f2e239456d024bc2c38b99cd9d5fabadab",
    }
    rest = {key: value for key, value in metadata.items() if key != "weights_sha256"}
    assert rest == {
        "format": "1",
        "labels_sha256": RELEASE.labels_sha256,
        "esco_version": "1.1.0",
        "esco_language": "en",
        "model": "tiny",
    }


def test_skills_table(folder):
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    rows = parquet.read_table(folder / SKILLS_FILE).to_pylist()
    assert rows[0] == {
        "uri": f"{URI}1",
        "label": "bake bread",
        "alternative_labels": ["make bread", "bread baking"],
        "type": "skill/competence",
        "broader_uris": [f"{URI}S9.1"],
        "group": "making things",
    }
    assert [row["group"] for row in rows] == ["making things", "making things", ""]
    assert rows[2]["broader_uris"] == []


def test_top_group_through_another_skill_and_around_a_circle():
    """2 -> 1 -> S9.1 -> S9 -> S: the group below the pillar is S9. A circle ends with no group."""
    assert top_group(f"{URI}2", RELEASE) == "making things"
    circle = EscoRelease("1", "en", RELEASE.skills, broader={"a": ("b",), "b": ("a",)}, group_labels={"b": "B"})
    assert top_group("a", circle) == ""
    second = EscoRelease("1", "en", (), broader={"a": ("gone", "g"), "g": ("root",)}, group_labels={"g": "G"})
    assert top_group("a", second) == "G"


def test_fitting_embeddings_are_kept_and_skills_refreshed(folder):
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    (folder / SKILLS_FILE).touch()
    renamed = EscoRelease("1.1.0", "en", RELEASE.skills, group_labels={})
    build_label_index(renamed, lambda: pytest.fail("encoded again"), folder, "tiny")
    assert parquet.read_table(folder / SKILLS_FILE)["group"].to_pylist() == ["", "", ""]


@pytest.mark.parametrize("change", ["weights", "labels", "ESCO version", "language"])
def test_an_index_that_no_longer_fits_is_made_again(folder, change):
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    release = RELEASE
    if change == "weights":
        (folder / "model.safetensors").write_bytes(b"others")
    elif change == "labels":
        release = EscoRelease("1.1.0", "en", RELEASE.skills[::-1])
    else:  # read from a folder that did not say its version, and now from one that does
        release = EscoRelease(*(("1.2.0", "en") if change == "ESCO version" else ("1.1.0", "de")), RELEASE.skills)
    encoder = PlantedEncoder()
    index = build_label_index(release, lambda: encoder, folder, "tiny")
    assert encoder.calls == 1
    assert index.labels == tuple(release.labels)
    assert (index.esco_version, index.esco_language) == (release.version, release.language)


def test_other_weights_are_refused(folder):
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    assert open_label_index(folder, "onnx/model.onnx").weights_sha256 == weight_files(folder)
    (folder / "onnx" / "model.onnx").write_bytes(b"another export")
    open_label_index(folder, "model.safetensors")
    with pytest.raises(StageError, match=r"other weights than onnx/model\.onnx"):
        open_label_index(folder, "onnx/model.onnx")


def test_other_labels_are_refused(folder, tmp_path_factory):
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    other = tmp_path_factory.mktemp("other")
    (other / "model.safetensors").write_bytes(b"weights")
    build_label_index(EscoRelease("1.1.0", "en", RELEASE.skills[:2]), PlantedEncoder, other, "tiny")
    (folder / SKILLS_FILE).write_bytes((other / SKILLS_FILE).read_bytes())
    with pytest.raises(StageError, match="other labels"):
        open_label_index(folder)


def test_broken_and_missing_files(folder, tmp_path_factory):
    with pytest.raises(StageError, match="has no label index"):
        open_label_index(folder)
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    (folder / EMBEDDINGS_FILE).write_bytes(b"cut")
    with pytest.raises(StageError, match="damaged"):
        open_label_index(folder)
    with pytest.raises(StageError, match="Is it a model folder"):
        weight_files(tmp_path_factory.mktemp("empty"))


def test_damaged_files_of_the_index_are_told_and_made_again(folder):
    """Skills that are no Parquet file or have no label, and embeddings that do not say what they are."""
    build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    skills = (folder / SKILLS_FILE).read_bytes()
    other = pa.BufferOutputStream()
    parquet.write_table(pa.table({"uri": ["a"]}), other)
    for damaged in (skills[:20], b"", other.getvalue().to_pybytes()):
        (folder / SKILLS_FILE).write_bytes(damaged)
        with pytest.raises(StageError, match=r"(?s)is damaged .*model_card\.build` on this folder again"):
            open_label_index(folder)
        assert build_label_index(RELEASE, PlantedEncoder, folder, "tiny").labels == tuple(RELEASE.labels)
    (folder / EMBEDDINGS_FILE).write_bytes(save({"embeddings": np.ones((3, 2), np.float16)}, metadata={"format": "1"}))
    with pytest.raises(StageError, match="is damaged"):
        open_label_index(folder)
    assert build_label_index(RELEASE, PlantedEncoder, folder, "tiny").esco_version == "1.1.0"


@pytest.mark.parametrize("damaged", ["{", "[]"])
def test_damaged_settings_are_told(folder, damaged):
    (folder / "config_sentence_transformers.json").write_text(damaged)
    with pytest.raises(StageError, match=r"config_sentence_transformers\.json is damaged"):
        build_label_index(RELEASE, PlantedEncoder, folder, "tiny")


@pytest.mark.parametrize("kept", [False, True])
def test_a_model_with_prompts_is_refused(folder, kept):
    """Whether or not an index is there already; empty prompts, which sentence-transformers always writes, are none."""
    settings = folder / "config_sentence_transformers.json"
    settings.write_text('{"prompts": {"query": "", "document": ""}}')
    if kept:
        build_label_index(RELEASE, PlantedEncoder, folder, "tiny")
    settings.write_text('{"prompts": {"query": "find: ", "document": ""}}')
    with pytest.raises(StageError, match=r"has the prompts query, and labels and sentences are ranked here without"):
        build_label_index(RELEASE, PlantedEncoder, folder, "tiny")


def test_a_label_without_direction_is_named():
    class Zeros:
        def encode(self, sentences):
            return np.zeros((len(sentences), 2), dtype=np.float32)

    with pytest.raises(StageError, match="bake bread"):
        encode_labels(Zeros(), ["bake bread"])


def test_progress_counts_labels():
    done = []
    encoder = PlantedEncoder()
    encode_labels(encoder, ["Python"] * 600, done.append)
    assert done == [256, 256, 88]


def test_csv_release_reads_as_worked_by_hand(tmp_path):
    release = read_esco(write_esco(tmp_path / "v1.1.0"))
    assert release.labels == RELEASE.labels
    assert top_group(f"{URI}2", release) == "making things"


OPEN_AND_RANK = """
import sys, time
from pathlib import Path
import numpy as np, pyarrow.parquet, safetensors.numpy
import torch, sentence_transformers, transformers.models.bert.modeling_bert
from model_card.label_index import open_label_index
start = time.process_time()
folder = Path(sys.argv[1])
index = open_label_index(folder, "model.safetensors")
model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
scores = index.embeddings.astype(np.float32) @ model.encode("You bake bread.", normalize_embeddings=True)
best = np.argsort(-scores)[:5]
print(time.process_time() - start, len(scores))
"""


def test_opening_and_ranking_takes_under_two_seconds(tmp_path, repo):
    """All 13,891 labels, a tiny encoder: what is timed is our reading, hashing and ranking, in seconds of computing,
    so that a busy machine does not fail it."""
    from sentence_transformers import SentenceTransformer

    folder = write_tiny_model(tmp_path / "model")
    model = SentenceTransformer(str(folder), device="cpu")
    row = np.asarray(model.encode(["bake"]), dtype=np.float32)

    class Repeats:
        def encode(self, sentences):
            return np.repeat(row, len(sentences), axis=0)

    many = EscoRelease("1.1.0", "en", tuple(Skill(f"{URI}{n}", f"skill number {n}") for n in range(13_891)))
    build_label_index(many, Repeats, folder, "tiny")
    done = subprocess.run(
        [sys.executable, "-c", OPEN_AND_RANK, str(folder)], cwd=repo, capture_output=True, text=True, check=True
    )
    seconds, labels = done.stdout.split()
    assert int(labels) == 13_891
    # A third of a second on two free cores.
    assert float(seconds) < 20
