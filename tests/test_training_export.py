from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling

from dataset_builder.contract import EXIT_USER_ERROR, StageError, run_command
from tests.tiny_encoder import tiny_labels, write_tiny_benchmark, write_tiny_encoder
from training.base_model import open_encoder
from training.export import ExportedForm, ExportResults, _median_seconds, main, render
from training.label_space import label_space_of_rows
from training.onnx_files import OnnxEncoder, export_onnx, quantise
from training.static_model import distil, principal, sif_weights
from training.validation import SkillRanking, load_metric, read_validation

ESCO = Path(__file__).resolve().parent.parent / "dataset_builder" / "sample_esco"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory):
    return open_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def exported(encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(encoder, tmp_path_factory.mktemp("model"))


def mean_cosine(encoder, other) -> float:
    texts = [*tiny_labels(), "a longer sentence about the team and the law, to teach it"]
    own = encoder.encode(texts, normalize_embeddings=True)
    return float((own * other.encode(texts, normalize_embeddings=True)).sum(axis=1).mean())


def test_onnx_gives_the_same_vectors(encoder, exported: Path):
    assert exported.name == "model.onnx"
    assert mean_cosine(encoder, OnnxEncoder(encoder, exported)) == pytest.approx(1.0, abs=1e-5)


def test_onnx_gives_the_same_tokens_and_ranks_by_them_alike(encoder, exported: Path, tmp_path: Path):
    """A short text beside a long one, which pads it; and RP@5 with half of the score by tokens."""
    onnx, texts = OnnxEncoder(encoder, exported), ["teach", "a longer sentence about the team and the law"]
    for own, other in zip(encoder.encode(texts, output_value=None), onnx.encode(texts, output_value=None), strict=True):
        real = own["token_embeddings"][own["attention_mask"].bool()]
        assert torch.allclose(real, other["token_embeddings"], atol=1e-5)
        assert torch.allclose(own["sentence_embedding"], other["sentence_embedding"], atol=1e-5)
        assert other["attention_mask"].tolist() == [1] * len(real)
    write_tiny_benchmark(tmp_path)
    labels = label_space_of_rows(tiny_labels(), tiny_labels(), "")
    ranking = SkillRanking(read_validation(tmp_path), labels, load_metric(), token_share=0.5)
    assert ranking(onnx) == ranking(encoder)


def test_a_folder_without_safetensors_is_one_line(encoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The same weights, as torch pickles them."""
    write_tiny_encoder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(encoder[0].auto_model.state_dict(), tmp_path / "pytorch_model.bin")
    assert run_command(main, [str(tmp_path), "--esco", str(ESCO)]) == EXIT_USER_ERROR
    assert f"error: base model {tmp_path} holds no *.safetensors file" in capsys.readouterr().err


def test_speeds_are_of_batches_of_one_size(encoder, exported: Path, monkeypatch: pytest.MonkeyPatch):
    """140 labels are batches of 64, 64 and 12 for the model as for its ONNX form; asked for 100, of 100 and 40."""
    sizes: list[int] = []
    preprocess = encoder.preprocess

    def counted(texts: list[str], **options: object) -> dict[str, torch.Tensor]:
        sizes.append(len(texts))
        return preprocess(texts, **options)

    monkeypatch.setattr(encoder, "preprocess", counted)
    texts, onnx = [f"label {number}" for number in range(140)], OnnxEncoder(encoder, exported)
    for one in (encoder, onnx):
        _median_seconds(one, texts)
        assert sizes == [64, 64, 12] * 3
        sizes.clear()
    onnx.encode(texts, batch_size=100)
    assert sizes == [100, 40]


@pytest.mark.parametrize("kind", ["blocks", "avx512_vnni", "avx2"])
def test_int8_is_close_and_smaller(encoder, exported: Path, kind: str):
    if kind == "avx512_vnni" and "avx512_vnni" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("its sums overflow on this processor")
    path = quantise(exported, kind)
    assert kind in path.name
    assert path.stat().st_size < exported.stat().st_size
    assert mean_cosine(encoder, OnnxEncoder(encoder, path)) > 0.95


def test_blocks_are_the_nearest(encoder, exported: Path):
    blocks, columns = (OnnxEncoder(encoder, quantise(exported, kind)) for kind in ("blocks", "avx2"))
    assert 1 - mean_cosine(encoder, blocks) < (1 - mean_cosine(encoder, columns)) / 4


def test_a_table_is_stored_in_blocks_of_its_own_range(tmp_path: Path):
    """1,500 rows of 32: sixteen numbers from 0 to r / 100, then sixteen from 0 to r.

    Each number comes back to within a step of its block, 1/255 of its range (half a step, and the least in 16 bits):
    with one scale a row, the first sixteen would all be nothing or one step of r. A row of nothing stays nothing; a
    table of 3 rows, and a sum, are left alone.
    """
    fractions = np.linspace(0, 1, 16)
    table = np.outer(np.arange(1500), np.concatenate([fractions / 100, fractions])).astype(np.float32)
    small = np.ones((3, 32), dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "rows"], ["taken"], axis=0),
        helper.make_node("Gather", ["small", "few"], ["ones"], axis=0),
        helper.make_node("Add", ["taken", "ones"], ["sum"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "m"]) for name in ("rows", "few")]
    outputs = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", "m", 32])]
    initialisers = [numpy_helper.from_array(value, name) for value, name in ((table, "table"), (small, "small"))]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initialisers)
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    found = quantise(path, "blocks")
    assert found.stat().st_size < path.stat().st_size / 3
    session = onnxruntime.InferenceSession(found)
    rows = np.array([[0, 7, 1499]], dtype=np.int64)
    (got,) = session.run(None, {"rows": rows, "few": np.zeros((1, 3), dtype=np.int64)})
    assert got[0, 0] == pytest.approx(np.ones(32))
    range_of = rows[0][:, None] * np.repeat([0.01, 1.0], 16)
    assert np.all(np.abs(got[0] - 1 - table[rows[0]]) <= range_of / 255 + 1e-6)


def test_a_processor_nobody_knows(exported: Path):
    with pytest.raises(StageError, match="no int8 form for 'z80'"):
        quantise(exported, "z80")


def test_a_static_model_is_a_sentence_transformer(encoder, tmp_path: Path):
    distil(encoder, dimensions=16).save_pretrained(str(tmp_path), create_model_card=False)
    static = open_encoder(tmp_path)
    vectors = static.encode(["bake bread", "bread bake", "weld steel"], normalize_embeddings=True)
    assert vectors.shape == (3, 16)
    assert vectors[0] @ vectors[1] == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[2] < 0.99
    with pytest.raises(StageError, match="has no transformer to export"):
        export_onnx(static, tmp_path)
    with pytest.raises(StageError, match="only a model with a transformer"):
        distil(static)


def test_only_means_over_tokens_have_other_forms(encoder, tmp_path: Path):
    """The first token's vector in place of the mean, or a further layer: their forms would be another model."""
    first = SentenceTransformer(modules=[encoder[0], Pooling(32, pooling_mode="cls")], device="cpu")
    deeper = SentenceTransformer(modules=[encoder[0], Pooling(32), Dense(32, 8)], device="cpu")
    for other in (first, deeper):
        for make in (distil, lambda model: export_onnx(model, tmp_path)):
            with pytest.raises(StageError, match="encoders that take the mean over tokens"):
                make(other)


def test_principal_components_by_hand():
    """Points on the line (t, 2t), t = -1, 0, 1: all of it lies on one axis, at -sqrt 5, 0, sqrt 5."""
    points = np.array([[-1.0, -2.0], [0.0, 0.0], [1.0, 2.0]]) + 7
    assert np.abs(principal(points, 1))[:, 0] == pytest.approx([5**0.5, 0, 5**0.5], abs=1e-9)


def test_frequent_tokens_count_less():
    """Two tokens: p = 2/3 and 1/3, weights 1e-4 / (1e-4 + p)."""
    assert sif_weights(2) == pytest.approx([1e-4 / (1e-4 + 2 / 3), 1e-4 / (1e-4 + 1 / 3)])


def test_the_table_by_hand():
    def form(name: str, speed: float, cosine: float | None) -> ExportedForm:
        return ExportedForm(
            form=name,
            file="f",
            bytes=2_500_000,
            sha256="",
            texts_per_s=speed,
            mean_cosine=cosine,
            rp_at_5={"tech": 0.5},
        )

    forms = [form("torch", 100, 1.0), form("static", 1234, None)]
    results = ExportResults(schema_version=1, model="m", code_version="x", processor="p", cpu_cores=2, forms=forms)
    lines = render(results).splitlines()
    assert lines[2] == "| torch | f | 2.5 | 100 | 1.00x | 1.0000 | 50.00 |"
    assert lines[3] == "| static | f | 2.5 | 1,234 | 12.34x |  | 50.00 |"
