"""Why a run that goes on, or runs on Ray, gives the scores of one that never stopped: a text's vector is its own."""

import numpy as np
import pytest

from encoders import load_encoder
from tests.tiny_finder import tiny_model

TEXT = "bake bread"
OTHERS = ["plan the shifts of all employees in the ovens, the shop and the office, day and night", "sql", "we pay well"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small transformer as a folder with an ONNX file."""
    from sentence_transformers import SentenceTransformer

    from training.onnx_files import export_onnx

    folder = tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    return folder, export_onnx(SentenceTransformer(str(folder), device="cpu"), folder)


def moved(folder, backend) -> float:
    """How far a vector moves when other texts, some of them longer, are encoded with it."""
    encoder = load_encoder(folder, backend)
    alone, together = encoder.encode([TEXT])[0], encoder.encode([TEXT, *OTHERS])[0]
    return float(np.abs(alone - together).max())


@pytest.mark.parametrize("kind", ["", "blocks"])
def test_a_vector_does_not_depend_on_its_batch(exported, kind):
    from training.onnx_files import quantise

    folder, path = exported
    if kind:
        quantise(path, kind)
    assert moved(folder, "onnx-int8" if kind else "onnx") < 5e-6


def test_with_one_scale_a_tensor_it_does(exported):
    """So the older int8 forms score a passage a little differently with each company it is read in."""
    from training.onnx_files import INT8_FILES, quantise

    folder, path = exported
    (path.parent / INT8_FILES["blocks"]).unlink(missing_ok=True)
    quantise(path, "avx2")
    assert moved(folder, "onnx-int8") > 1e-5
