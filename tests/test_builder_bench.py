"""The bench measures what it says: small sizes here, the real ones by its command."""

from dataset_builder import bench


def test_a_finished_plan_lacks_nothing(tmp_path):
    """20 skills x 40 lines of 4-line sheets: 20 x 10 = 200 requests, all on file."""
    result = bench.measure_resume(200, tmp_path)
    assert (result["requests"], result["missing"]) == (200, 0)


def test_throughput_counts_every_request(tmp_path):
    """32 at once and 0.2 s each: at most 160 a second."""
    result = bench.measure_throughput(64, tmp_path)
    assert result["answered"] == 64
    assert 0 < result["share_of_possible"] <= 1
    assert result["possible_requests_per_s"] == 160
