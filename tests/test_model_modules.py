"""Models that do more than pool by the mean: scored by tokens as trained, read from ONNX as they are, or refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from dataset_builder.contract import StageError
from encoders import load_encoder
from eval.encoders import EncoderOptions, open_encoder
from eval.label_space import SkillNames
from skill_index import SkillFinderError
from tests.test_taxonomy import stub_model
from tests.tiny_finder import tiny_model

NAMES = SkillNames(labels=("bake bread", "manage staff"), source="", version="")
SENTENCES = ["You bake bread and sing", "You manage the staff"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "plain")


def with_module(plain, name, module):
    from sentence_transformers import SentenceTransformer

    folder = plain.parent / name
    model = SentenceTransformer(str(plain), device="cpu")
    model.append(module)
    model.save(str(folder))
    return folder


def scores_by_tokens(folder):
    system = open_encoder(str(folder), EncoderOptions(score="token-matching", device="cpu")).system
    system.index(NAMES)
    return system.scores(SENTENCES)


def test_labels_keep_their_length_where_a_model_scales_them(plain):
    """Training takes that module out, and exports have none: attention depends on the labels' lengths."""
    from sentence_transformers.sentence_transformer.modules import Normalize

    scaled = with_module(plain, "scaled", Normalize())
    assert np.allclose(scores_by_tokens(scaled), scores_by_tokens(plain), atol=1e-5)


def test_what_cannot_be_scored_by_tokens_is_one_line(plain):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, StaticEmbedding

    with pytest.raises(StageError, match=r"smaller gives tokens and texts vectors of different sizes \(16, 32\)"):
        scores_by_tokens(with_module(plain, "smaller", Dense(32, 16)))
    tokenizer = SentenceTransformer(str(plain), device="cpu").tokenizer.backend_tokenizer
    static = StaticEmbedding(tokenizer, embedding_weights=torch.rand(tokenizer.get_vocab_size(), 8).numpy())
    SentenceTransformer(modules=[static], device="cpu").save(str(plain.parent / "static"))
    with pytest.raises(StageError, match="static is static and cannot be scored by tokens"):
        scores_by_tokens(plain.parent / "static")


@pytest.mark.parametrize(
    ("pooling", "says"),
    [
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "pools by max,"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "pools by mean_sqrt_len,"),
        ({"pooling_mode": "lasttoken"}, "pools by lasttoken,"),
        ({"pooling_mode": ["cls", "mean"]}, "pools by cls and mean,"),
        ({"pooling_mode_mean_tokens": True}, ""),
        ({"pooling_mode": ["cls"]}, ""),
    ],
)
def test_the_page_reads_no_other_pooling_from_onnx(tmp_path, pooling, says):
    """It would be taken for the mean, and scores would look plausible."""
    folder = stub_model(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling), encoding="utf-8")
    if not says:
        assert load_encoder(folder).backend == "onnx"
        return
    with pytest.raises(SkillFinderError, match=f"{folder} {says} which is not read from ONNX: take the backend torch"):
        load_encoder(folder)


def test_the_page_reads_no_dense_module_from_onnx(tmp_path, plain):
    """The graph ends before it; with torch it is part of the model."""
    from sentence_transformers.sentence_transformer.modules import Dense

    folder = with_module(plain, "dense", Dense(32, 16))
    assert load_encoder(folder).encode(["bake"]).shape == (1, 16)
    for name in ("onnx", "tokenizer.json"):
        source = stub_model(tmp_path / name) / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    with pytest.raises(SkillFinderError, match="has a module Dense, which is not read from ONNX"):
        load_encoder(folder)
    assert load_encoder(folder, "torch").backend == "torch"
