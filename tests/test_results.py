"""results.json: what is written can be read again, and what does not fit the contract is refused by field."""

import json

import pytest

from dataset_builder.contract import StageError
from eval.results import EvalResults
from tests.eval_records import results_of


def test_results_survive_their_file(tmp_path):
    record = results_of("a", {"TECH": [(1,), (2, None)]})
    assert EvalResults.load(record.save(tmp_path / "a.json")) == record
    assert record.benchmarks[0].gold_ranks == ["1", "2 -"]


def test_files_written_before_the_optional_fields_can_be_read(tmp_path):
    path = results_of("a", {"TECH": [(1,)]}).save(tmp_path / "a.json")
    content = json.loads(path.read_text())
    for name in ("left_out", "gold_ranks", "thresholds"):
        del content["benchmarks"][0][name]
    path.write_text(json.dumps(content))
    assert EvalResults.load(path).benchmarks[0].gold_ranks == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("split"), "field 'split'"),
        (lambda content: content.update(schema_version=2), "schema version 2"),
        (lambda content: content["benchmarks"][0].pop("metrics"), "field 'benchmarks.0.metrics'"),
        (lambda content: content.update(extra=1), "field 'extra'"),
    ],
)
def test_other_shapes_are_refused(tmp_path, change, message):
    path = results_of("a", {"TECH": [(1,)]}).save(tmp_path / "a.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(StageError, match=message):
        EvalResults.load(path)
