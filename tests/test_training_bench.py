import json
from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from tests.tiny_encoder import write_tiny_dataset, write_tiny_encoder
from training import bench
from training.bench import Measurement, TrainingSpeed, newest_dataset, render

GB = 10**9


def test_both_ways_train_and_are_measured(tmp_path: Path, capsys):
    """Two steps of eight pairs each way, each in a process of its own."""
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "name: tiny\nmax_tokens: 16\nstages: [{name: one, sources: {synthetic: {}}, batch_size: 8}]\n", encoding="utf-8"
    )
    dataset, encoder = write_tiny_dataset(tmp_path / "pairs.csv"), write_tiny_encoder(tmp_path / "encoder")
    places = ["--recipe", str(recipe), "--dataset", str(dataset), "--base-model", str(encoder)]
    bench.main([*places, "--steps", "2", "--batch-size", "8", "--no-memory", "--out", str(tmp_path / "speed.json")])
    record = json.loads((tmp_path / "speed.json").read_text())
    assert [(one["way"], one["steps"], one["batch_size"]) for one in record["speed"]] == [
        ("plain", 2, 8),
        ("ours", 2, 8),
    ]
    assert all(one["pairs_per_s"] > 0 and one["peak_memory_bytes"] > 10**7 for one in record["speed"])
    assert "| ours |" in capsys.readouterr().out


def test_the_tables_are_worked_by_hand():
    """80 pairs a second are 4 times 20; 0.5 of RP@5 is 50.00; memory is in units of 10^9 bytes."""
    one = {"batch_size": 64, "steps": 100, "rp_at_5": {"rp@5_tech": 0.5}}
    plain = Measurement(way="plain", pairs_per_s=20.0, peak_memory_bytes=3 * GB, **one)
    ours = Measurement(way="ours", pairs_per_s=80.0, peak_memory_bytes=2 * GB, **one)
    results = TrainingSpeed(
        schema_version=1,
        code_version="abc",
        processor="a processor",
        device="cpu",
        cpu_cores=2,
        recipe_name="paper",
        base_model="tiny",
        speed=[plain, ours],
        memory=[plain, ours],
    )
    text = render(results)
    assert "| plain | 20.0 | 1.00x | 50.00 |" in text
    assert "| ours | 80.0 | 4.00x | 50.00 |" in text
    assert "| plain | 3.00 |" in text
    assert "| ours | 2.00 |" in text


def test_the_newest_release_is_taken_by_number(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(bench, "RELEASES", tmp_path)
    with pytest.raises(StageError, match="holds no dataset"):
        newest_dataset()
    for version in ("v0.9.0", "v0.10.0", "v0.2.0"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "manifest.json").write_text("{}")
    assert newest_dataset() == str(tmp_path / "v0.10.0")
