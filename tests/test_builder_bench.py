"""The bench measures what it says: small sizes here, the real ones by its command."""

import json
import shutil

from dataset_builder import bench, bench_faults, near_duplicates


def test_a_finished_plan_lacks_nothing(tmp_path):
    """20 skills x 40 lines of 4-line sheets: 20 x 10 = 200 requests, all on file."""
    result = bench.measure_resume(200, tmp_path)
    assert (result["requests"], result["missing"]) == (200, 0)
    assert result["seconds_with_a_budget_and_two_more_rounds"] > 0 < result["seconds"]


def test_throughput_counts_every_request(tmp_path):
    """32 at once and 0.2 s each: at most 160 a second."""
    result = bench.measure_throughput(64, tmp_path)
    assert result["answered"] == 64
    assert 0 < result["share_of_possible"] <= 1
    assert result["possible_requests_per_s"] == 160
    assert 0 < result["memory_half_way_mb"] <= result["memory_peak_mb"]


def test_every_fault_that_the_server_sent_is_recognised(tmp_path):
    """18 faults under 17 names, for what hangs and what drips is late alike; the sums match, the dataset is whole.

    A reply with a repeated or a cut line has fewer lines than asked as well.
    """
    result = bench.measure_faults(150, tmp_path, timeout_s=5.0)
    assert len(result["sent"]) == 17
    assert result["every_fault_recognised"], result
    sent, recognised = result["sent"], result["recognised"]
    short = ("repeated line", "truncated line")
    for name in ("refusal", "oversized reply", "wrong language", "empty reply", "preamble", *short):
        assert recognised[name] == sent[name] > 0
    fewer = "fewer lines than asked"
    assert recognised[fewer] == sent[fewer] + sum(sent[name] for name in short)
    assert recognised["http 429"] == sent["http 429"] > 0
    assert recognised["http 429 with retry-after"] == sent["http 429 with retry-after"] > 0
    assert result["requests_without_a_reply"] == 0
    assert result["dataset_valid"]
    assert result["pairs_in_the_dataset"] >= 3 * 150
    assert 140 <= result["skills_with_a_sentence"] <= 150


def test_a_fault_that_goes_unrecognised_would_show(tmp_path, monkeypatch):
    monkeypatch.setitem(bench_faults.SEEN_AS, "html", "something else")
    assert not bench.measure_faults(60, tmp_path)["every_fault_recognised"]


def test_near_duplicates_that_are_missed_are_counted(monkeypatch):
    result = bench.measure_near_duplicates(400)
    assert (result["sentences"], result["near"] > 10, result["missed"]) == (420, True, 0)
    monkeypatch.setattr(near_duplicates, "WORD_OVERLAP", 1.0)
    assert 0 < bench.measure_near_duplicates(400)["missed"] <= result["near"]


def test_a_dataset_that_lacks_something_would_show(tmp_path):
    bench.measure_faults(60, tmp_path)
    folder = tmp_path / "faults"
    assert bench_faults.rows_of_whole_dataset(folder, tmp_path / "a") > 0
    shutil.copy(folder / "pairs" / "train.parquet", folder / "pairs" / "validation.parquet")
    assert bench_faults.rows_of_whole_dataset(folder, tmp_path / "b") == 0


def test_killed_at_a_random_moment(tmp_path, monkeypatch):
    """Two kills here, twenty in the bench: what was on file is not asked again, and the Parquet is the same.

    The second one comes while the folder is written.
    """
    monkeypatch.setattr(bench_faults, "KILL_SKILLS", 40)
    monkeypatch.setattr(bench_faults, "LONGEST_WRITING_S", 0.0)
    result = bench.measure_kills(2, tmp_path)
    assert (result["kills"], result["kills_while_writing"]) == (2, 1)
    assert result["parquet_identical"]
    assert result["last_run_asked_only_what_was_missing"]
    assert result["repeated_because_in_flight_at_a_kill"] <= result["at_most_in_flight"]
    assert result["on_file_and_lost_at_a_later_kill"] == 0
    assert result["most_sent_and_not_on_file_at_one_kill"] <= result["in_flight_at_most"]


def test_the_record_keeps_what_is_promised(repo):
    """95% of the possible pace, under 500 MB and flat, five seconds for 140,000 requests, nothing lost at 20 kills."""
    record = json.loads((repo / "results" / "builder.json").read_text(encoding="utf-8"))
    pace, resume, kills, faults = (record[name] for name in ("throughput", "resume", "kills", "faults"))
    assert (pace["requests"], pace["answered"], pace["latency_s"], pace["concurrency"]) == (20_000, 20_000, 0.2, 32)
    assert pace["share_of_possible"] >= 0.95
    assert pace["memory_peak_mb"] < 500
    assert pace["memory_at_the_end_mb"] < 1.1 * pace["memory_after_a_tenth_mb"]
    assert (resume["requests"], resume["missing"]) == (140_000, 0)
    assert resume["seconds"] < 5
    assert kills["kills"] == 20
    assert kills["parquet_identical"]
    assert kills["last_run_asked_only_what_was_missing"]
    assert kills["repeated_because_in_flight_at_a_kill"] <= kills["at_most_in_flight"]
    assert faults["every_fault_recognised"]
    assert faults["dataset_valid"]
    assert faults["requests_without_a_reply"] == 0
