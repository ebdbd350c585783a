"""An int8 release -> torch weights that give the vectors of the int8 file, and errors for what is none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dataset_builder.contract import StageError
from tests.tiny_encoder import write_tiny_encoder
from training import read_back as module
from training.base_model import open_encoder, sha256_of_weights
from training.onnx_files import OnnxEncoder, export_onnx, quantise
from training.read_back import main, read_back, weights_of

REPO = Path(__file__).resolve().parent.parent
RELEASE = sorted((REPO / "model_card/releases").glob("v*"))[-1]
TEXTS = ["bake bread", "You weld steel in the team, and write code.", "law"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its exports."""
    place = tmp_path_factory.mktemp("model") / "tiny"
    encoder = open_encoder(write_tiny_encoder(place)).eval()
    for values in encoder.parameters():
        if values.ndim == 1:  # all zeros or all ones in a new encoder, which an export keeps once
            torch.nn.init.normal_(values, mean=float(values.detach().mean()), std=0.05)
    encoder.save_pretrained(str(place), create_model_card=False)
    quantise(export_onnx(encoder, place))
    return place


def test_weights_are_near_those_that_were_quantised(folder: Path):
    found = weights_of(folder / "onnx/model_quint8_blocks.onnx")
    own = open_encoder(folder)[0].auto_model.state_dict()
    assert set(own) - set(found) <= {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}
    for name, values in found.items():
        scale = float(own[name].max() - own[name].min())
        assert float((own[name] - values).abs().max()) <= scale / 255 + 1e-6, name


def test_the_release_of_this_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main([str(RELEASE), str(tmp_path / "one")])
    assert "torch weights of" in capsys.readouterr().out
    read_back(RELEASE, tmp_path / "two")
    assert sha256_of_weights(tmp_path / "one") == sha256_of_weights(tmp_path / "two")
    encoder = open_encoder(tmp_path / "one").eval()
    int8 = OnnxEncoder(encoder, RELEASE / "onnx/model_quint8_blocks.onnx")
    assert np.asarray(encoder.encode(TEXTS)) == pytest.approx(int8.encode(TEXTS), abs=1e-3)
    assert not {"onnx", "label_index", "README.md", "results"} & {path.name for path in (tmp_path / "one").iterdir()}


def test_not_over_what_is_there_and_not_of_anything(tmp_path: Path, folder: Path):
    (tmp_path / "there").mkdir()
    with pytest.raises(StageError, match="there exists"):
        read_back(folder, tmp_path / "there")
    with pytest.raises(StageError, match="holds no onnx/model_quint8_blocks"):
        read_back(tmp_path, tmp_path / "out")


def test_other_vectors_leave_no_folder(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    real = module.weights_of
    monkeypatch.setattr(module, "weights_of", lambda file: {name: value.flip(0) for name, value in real(file).items()})
    with pytest.raises(StageError, match="other vectors than its weights"):
        read_back(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_kind_is_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "weights_of", lambda _: {})
    with pytest.raises(StageError, match="lacks or adds the weights embeddings"):
        read_back(folder, tmp_path / "out")
