"""Backends: the ONNX graph by hand, the choice of backend, and what is refused."""

import json
import shutil

import numpy as np
import pytest

import encoders
import eval.encoders
from encoders import load_encoder
from skill_finder import SkillFinder, SkillFinderError
from skill_index import sha256_of_file
from taxonomy import read_skills
from tests.test_taxonomy import stub_model
from tests.tiny_finder import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return stub_model(tmp_path_factory.mktemp("onnx"))


def table() -> np.ndarray:
    """The stub's token vectors: row 2 is "bread", row 3 "bake"."""
    return np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)


def test_onnx_is_the_mean_of_real_tokens_scaled_to_length_one(folder):
    """ "bake bread" has rows 3 and 2; their mean, divided by its length. Padding of the shorter text must not count."""
    vectors = load_encoder(folder, "onnx").encode(["bake bread", "sql"])
    mean = (table()[3] + table()[2]) / 2
    assert np.allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert np.allclose(vectors[1], table()[6] / np.linalg.norm(table()[6]), atol=1e-6)
    assert vectors.dtype == np.float32


def test_the_order_of_texts_is_kept_over_batches(folder):
    texts = ["bread " * (1 + i % 7) + ("sql" if i % 2 else "bake") for i in range(100)]
    encode = load_encoder(folder).encode
    assert np.allclose(encode(texts), np.concatenate([encode([text]) for text in texts]), atol=1e-5)
    assert encode([]).shape[0] == 0


def test_first_token_pooling_is_read_from_the_folder(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "cls")
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf-8")
    vector = load_encoder(copy).encode(["bake bread"])[0]
    assert np.allclose(vector, table()[3] / np.linalg.norm(table()[3]), atol=1e-6)


def test_int8_comes_first_and_fits_the_processor(folder, tmp_path, monkeypatch):
    copy = shutil.copytree(folder, tmp_path / "int8")
    plain = copy / "onnx/model.onnx"
    for name in ("model_qint8_avx512_vnni.onnx", "model_quint8_avx2.onnx", "model_qint8_arm64.onnx"):
        shutil.copy(plain, copy / "onnx" / name)
    monkeypatch.setattr(encoders.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(encoders, "_x86_kind", lambda: "avx2")
    loaded = load_encoder(copy)
    assert (loaded.backend, loaded.weight_file.name) == ("onnx-int8", "model_quint8_avx2.onnx")
    monkeypatch.setattr(encoders.platform, "machine", lambda: "aarch64")
    assert load_encoder(copy).weight_file.name == "model_qint8_arm64.onnx"
    assert load_encoder(copy, "onnx").weight_file.name == "model.onnx"
    shutil.copy(plain, copy / "onnx/model_quint8_blocks.onnx")
    assert load_encoder(copy).weight_file.name == "model_quint8_blocks.onnx"


def test_bfloat16_is_near_and_only_on_request(tmp_path):
    """Vectors in bfloat16 differ from float32 in the third digit, not more; torch alone is taken by itself."""
    folder = tiny_model(tmp_path / "tiny")
    record = {"recipe": {"stages": [{"loss": {"name": "token_match"}}]}}
    (folder / "training_record.json").write_text(json.dumps(record))
    loaded = {name: load_encoder(folder, name) for name in ("auto", "torch-bf16")}
    assert [one.backend for one in loaded.values()] == ["torch", "torch-bf16"]
    texts = ["bake bread", "plan the shifts of all employees"]
    exact, near = (one.encode(texts) for one in loaded.values())
    assert 0 < np.abs(exact - near).max() < 0.02
    assert near.dtype == np.float32
    for one in loaded.values():
        assert one.encode_tokens(texts)[0].vectors.dtype == np.float32
    (exact_spans,), (near_spans,) = (one.encode_spans(texts) for one in loaded.values())
    for one, other in zip(exact_spans.tokens, near_spans.tokens, strict=True):
        assert 0 < np.abs(one - other).max() < 0.1
        assert other.dtype == np.float32


def test_refusals(folder, tmp_path):
    with pytest.raises(SkillFinderError, match="no backend 'gpu'"):
        load_encoder(folder, "gpu")
    with pytest.raises(SkillFinderError, match="no weights for backend 'torch'"):
        load_encoder(folder, "torch")
    with pytest.raises(SkillFinderError, match="not a folder"):
        load_encoder(tmp_path / "nothing")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/model.onnx").write_bytes(b"")
    with pytest.raises(SkillFinderError, match=r"tokenizer\.json"):
        load_encoder(tmp_path)


def test_a_finder_runs_without_torch_weights(folder, tmp_path):
    (tmp_path / "own.csv").write_text("id,label\n1,bake bread in ovens\n2,sql\n", encoding="utf-8")
    skills, name = read_skills(tmp_path / "own.csv")
    finder = SkillFinder.from_pretrained(folder, skills=skills, taxonomy=name)
    assert finder.backend == "onnx"
    assert finder.rank("bake bread in ovens", 1)[0].uri == "1"
    assert len(sha256_of_file(load_encoder(folder).weight_file)) == 64


@pytest.mark.parametrize("name", ["onnx/model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("content", ["half", "version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_cut_off_is_named(folder, tmp_path, name, content):
    file = shutil.copytree(folder, tmp_path / "cut") / name
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "half" else content.encode())
    with pytest.raises(SkillFinderError) as refusal:
        load_encoder(tmp_path / "cut", "onnx")
    assert str(refusal.value).startswith(f"{file} cannot be read")
    assert "\n" not in str(refusal.value)


def test_half_of_the_weights_of_torch_is_an_error_of_the_folder(tmp_path):
    folder = tiny_model(tmp_path / "tiny")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(SkillFinderError, match=f"{folder} cannot be read"):
        load_encoder(folder, "torch")


def test_a_static_model_opens_where_its_file_lies_in_a_folder(folder, tmp_path):
    """ "bake bread" is the mean of rows 3 and 2."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    static = StaticEmbedding(tokenizer, embedding_weights=table())
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path / "static"))
    at, below = tmp_path / "static", tmp_path / "static/0_StaticEmbedding"
    if not below.is_dir():  # sentence-transformers from 5 on
        below.mkdir()
        for name in ("model.safetensors", "tokenizer.json"):
            (at / name).rename(below / name)
        modules = json.loads((at / "modules.json").read_text())
        modules[0]["path"] = below.name
        (at / "modules.json").write_text(json.dumps(modules))
    loaded = load_encoder(at)
    assert loaded.weight_file == below / "model.safetensors"
    mean = (table()[3] + table()[2]) / 2
    assert np.allclose(loaded.encode(["bake bread"])[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert encoders.WEIGHT_FILES == eval.encoders.WEIGHT_FILES  # the extractor stands alone, and so repeats them
