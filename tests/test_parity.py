"""Backends beside each other: shares and RP@5 by hand, and the command over a folder with two graphs."""

import json
import shutil

import numpy as np
import pytest

from encoders import load_encoder
from skill_finder import SkillFinderError
from space import parity
from tests.test_taxonomy import stub_model
from tests.tiny_finder import with_index

LABELS = ("bake", "bread", "ovens", "sql")


@pytest.fixture
def folder(tmp_path):
    """The stub with an index of four labels, and an "int8" file that is the same graph."""
    model = stub_model(tmp_path)
    shutil.copy(model / "onnx/model.onnx", model / "onnx/model_qint8_avx512.onnx")
    with_index(model, LABELS)
    return model


def test_shares_and_rp_at_5_by_hand(folder):
    """Of two queries one keeps its two best skills in another order, the other keeps one of two: shares 1/2 and 3/4.
    Gold {1} at k = 5 is found by both rankings of query 0; gold {7, 8} of query 1: one of two, and none."""
    ours, reference = np.array([[2, 1], [7, 5]]), np.array([[1, 2], [5, 6]])
    got = parity.compare(ours, reference, [frozenset([1]), frozenset([7, 8])], load_encoder(folder, "onnx"))
    assert (got.same_top_10, got.shared_of_10, got.same_best) == (0.5, 0.75, 0.0)
    assert (got.rp_at_5, got.rp_at_5_of_reference) == (0.75, 0.5)


def test_the_command_compares_what_is_there(folder, tmp_path, capsys):
    queries = tmp_path / "q.csv"
    queries.write_text("sentence,label\nbake bread,bread\nsql,sql\nnothing,unknown\nSail!,sql\n", encoding="utf-8")
    (tmp_path / "q_test.csv").write_text("sentence,label\nsail,sql\n", encoding="utf-8")
    out = tmp_path / "parity.json"
    parity.main([str(folder), "--queries", str(queries), "--out", str(out)])
    (int8,) = json.loads(out.read_text(encoding="utf-8"))["backends"]
    # A label that the index lacks is missed, as the protocol says: two of three queries are right.
    assert (int8["backend"], int8["queries"]) == ("onnx-int8", 3)
    assert (int8["same_top_10"], int8["rp_at_5"]) == (1.0, pytest.approx(2 / 3))
    assert "100.0%" in capsys.readouterr().out


def test_a_released_folder_is_compared_with_the_one_it_came_from(folder, tmp_path):
    released = shutil.copytree(folder, tmp_path / "released")
    (released / "onnx/model.onnx").unlink()
    query = parity.GoldSentence("bake bread", ("bake",))
    with pytest.raises(SkillFinderError, match="--reference"):
        parity.measure(released, released, [query])
    (got,) = parity.measure(released, folder, [query])
    assert got.backend == "onnx-int8"
    with pytest.raises(SkillFinderError, match="no query"):
        parity.measure(released, folder, [parity.GoldSentence("x", ("unknown",))])
