"""An ONNX export is encoded without optimum: pooling, prompts and length are those of the folder."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from dataset_builder.contract import StageError, run_command, sha256_of_file
from eval import score_model
from eval.onnx_model import OnnxModel
from eval.openvino_model import OpenvinoModel
from eval.results import EvalResults
from tests.eval_records import write_benchmarks, write_esco

WORDS = ["[PAD]", "a", "b", "query:"]
VECTORS = np.array([[9, 9], [1, 0], [0, 3], [5, 5]], dtype=np.float32)


def field(number, value):
    """One protobuf field: whole numbers as varints below 128, everything else with its length."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    content = value.encode() if isinstance(value, str) else value
    size = (
        struct.pack("B", len(content)) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    )
    return bytes([number << 3 | 2]) + size + content


def tensor_type(name, kind, axes):
    shape = b"".join(field(1, field(2, axis)) for axis in axes)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def onnx_of_vectors():
    """A graph of one node, last_hidden_state = Gather(vectors, input_ids), in ONNX's own bytes."""
    node = field(1, "vectors") + field(1, "input_ids") + field(2, "last_hidden_state") + field(4, "Gather")
    weights = field(1, len(VECTORS)) + field(1, 2) + field(2, 1) + field(8, "vectors") + field(9, VECTORS.tobytes())
    graph = field(1, node) + field(2, "g") + field(5, weights)
    graph += b"".join(field(11, tensor_type(name, 7, ("n", "t"))) for name in ("input_ids", "attention_mask"))
    graph += field(12, tensor_type("last_hidden_state", 1, ("n", "t", "d")))
    return field(1, 8) + field(8, field(1, "") + field(2, 13)) + field(7, graph)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(onnx_of_vectors())
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 3}')
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_mean_over_real_tokens(folder):
    """a is (1, 0), b is (0, 3). 'a b' has mean (0.5, 1.5), 'a' alone (1, 0) though it is padded beside the other;
    of 'b b a a' three tokens count: (1/3, 2). Input order is kept.
    """
    model = OnnxModel(folder)
    vectors = model.encode_query(["b b a a", "a", "a b"], batch_size=2)
    assert vectors == pytest.approx(np.array([[1 / 3, 2], [1, 0], [0.5, 1.5]]))
    assert model.max_seq_length == 3


def test_tokens_of_each_text_without_padding(folder):
    """Of 'b b a a' the three that are read; 'a' is padded beside it and has one."""
    found = OnnxModel(folder).encode_tokens(["b b a a", "a"])
    assert [tokens.tolist() for tokens in found] == [[[0, 3], [0, 3], [1, 0]], [[1, 0]]]


def test_without_a_length_of_its_own_the_tokenizer_s_and_the_transformer_s_count(folder):
    """As sentence-transformers 6 writes a folder, and reads it: the shorter of the two."""
    (folder / "sentence_bert_config.json").write_text("{}")
    (folder / "config.json").write_text('{"max_position_embeddings": 512}')
    assert OnnxModel(folder).max_seq_length == 512
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 2}')
    model = OnnxModel(folder)
    assert model.max_seq_length == 2
    assert model.encode_query(["b b a a"]) == pytest.approx(np.array([[0, 3]]))


def test_first_token_in_the_new_form_of_the_setting(folder):
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert OnnxModel(folder).encode_document(["b a"]).tolist() == [[0, 3]]
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(StageError, match="pooling by max is not read from exports"):
        OnnxModel(folder)


def test_modules_that_would_be_left_out_are_refused(folder):
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    with pytest.raises(StageError, match="the module Dense is not read from exports"):
        OnnxModel(folder)


def test_prompts_are_put_before_sentences_only(folder):
    """The query prompt adds the word a, (1, 0): the mean with b is (0.5, 1.5)."""
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "a ", "document": ""}}))
    model = OnnxModel(folder)
    assert model.encode_query(["b"]).tolist() == [[0.5, 1.5]]
    assert model.encode_document(["b"]).tolist() == [[0, 3]]


def test_files_that_are_missing_or_broken_are_named(folder):
    with pytest.raises(StageError, match=r"holds no other\.onnx \(ONNX files there: onnx/model\.onnx\)"):
        OnnxModel(folder, "other.onnx")
    (folder / "onnx" / "broken.onnx").write_bytes(b"no")
    with pytest.raises(StageError, match=r"broken\.onnx cannot be opened"):
        OnnxModel(folder, "broken.onnx")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(StageError, match=r"holds no tokenizer\.json"):
        OnnxModel(folder)


def test_command_scores_an_export_and_names_its_file(folder, tmp_path):
    out = tmp_path / "run.json"
    data = ["--benchmarks", str(write_benchmarks(tmp_path / "b")), "--esco", str(write_esco(tmp_path / "esco"))]
    command = [str(folder), *data, "--out", str(out), "--backend", "onnx"]
    assert run_command(score_model.main, command) == 0
    system = EvalResults.load(out).system
    assert system.weights_sha256 == sha256_of_file(folder / "onnx" / "model.onnx")
    assert (system.settings["backend"], system.settings["weights_file"]) == ("onnx", "model.onnx")
    assert run_command(score_model.main, [*command, "--score", "token-matching"]) == 0
    assert EvalResults.load(out).system.settings["score"] == "token-matching"


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["sentence_transformers"] = None  # as where they are not installed
from dataset_builder.contract import run_command
from eval import score_model
sys.exit(run_command(score_model.main, sys.argv[1:]))
"""


def test_an_export_is_scored_without_torch(folder, tmp_path, repo):
    data = ["--benchmarks", str(write_benchmarks(tmp_path / "b")), "--esco", str(write_esco(tmp_path / "esco"))]
    command = [str(folder), *data, "--out", str(tmp_path / "run.json"), "--backend", "onnx"]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *command], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "TECH" in done.stdout


def test_openvino_gives_the_same_from_its_own_files(folder, tmp_path, capsys):
    """The same graph as OpenVINO saves it: 'a b' has mean (0.5, 1.5); the weights' hash is that of the .bin."""
    openvino = pytest.importorskip("openvino")
    graph = openvino.Core().read_model(str(folder / "onnx" / "model.onnx"))
    openvino.save_model(graph, str(folder / "openvino" / "openvino_model.xml"), compress_to_fp16=False)
    texts = ["b b a a", "a", "a b"]
    assert OpenvinoModel(folder).encode_query(texts) == pytest.approx(OnnxModel(folder).encode_query(texts), abs=1e-6)
    out = tmp_path / "run.json"
    data = ["--benchmarks", str(write_benchmarks(tmp_path / "b")), "--esco", str(write_esco(tmp_path / "esco"))]
    command = [str(folder), *data, "--out", str(out), "--backend", "openvino"]
    assert run_command(score_model.main, command) == 0
    system = EvalResults.load(out).system
    assert system.weights_sha256 == sha256_of_file(folder / "openvino" / "openvino_model.bin")
    assert (system.settings["backend"], system.settings["precision"]) == ("openvino", "as exported")
    (folder / "openvino" / "broken.xml").write_text("no")
    assert run_command(score_model.main, [*command, "--weights-file", "broken.xml"]) == 2
    assert "broken.xml cannot be opened" in capsys.readouterr().err
    assert run_command(score_model.main, [*command, "--weights-file", "gone.xml"]) == 2
    assert "holds no gone.xml (openvino files there: openvino/broken.xml, " in capsys.readouterr().err
