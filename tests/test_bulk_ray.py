"""Many ads on several processes: an input is read once a process, a cluster is used as it is, the output the same."""

from argparse import Namespace

import pyarrow.parquet as pq
import pytest

import bulk
from bulk_output import PART_ROWS, Parts
from bulk_parts import PartWorker, in_parts
from bulk_ray import PartMaker, PartReader, connect, run_on_ray
from bulk_rows import AdSource
from skill_finder import SkillFinderError
from tests.bulk_ads import write_ads
from tests.test_taxonomy import stub_model
from tests.tiny_finder import tiny_finder

CSV_SKILLS = "id,label\n1,bake bread in ovens\n2,SQL\n"


class TestReader:
    """Ten ads, a letter each, in parts of two."""

    @pytest.fixture(params=["csv", "parquet"])
    def ads(self, tmp_path, request):
        if request.param == "parquet":
            return write_ads(tmp_path / "ads.parquet", list("abcdefghij"), row_group_size=3)
        (tmp_path / "ads.csv").write_text("text\n" + "\n".join("abcdefghij") + "\n", encoding="utf-8")
        return tmp_path / "ads.csv"

    @pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [1, 2, 4], [3, 0, 4, 4], [4, 5, 0]])
    def test_any_order_of_parts_gives_their_rows(self, ads, order):
        reader = PartReader(AdSource(str(ads), "text"))
        letters = ["".join(row.text for row in reader.read(2 * part, 2)) for part in order]
        assert letters == ["abcdefghij"[2 * part : 2 * part + 2] for part in order]

    def test_an_input_is_opened_once_for_parts_that_follow(self, ads, monkeypatch):
        starts = []
        rows = AdSource.rows
        monkeypatch.setattr(AdSource, "rows", lambda self, start=0: starts.append(start) or rows(self, start))
        reader = PartReader(AdSource(str(ads), "text"))
        for part in (0, 1, 2):
            reader.read(2 * part, 2)
        assert starts == [0]
        # Text can only be read through; Parquet is opened where the part begins.
        reader.read(8, 2)
        assert starts == ([0, 8] if ads.suffix == ".parquet" else [0])
        reader.read(0, 2)
        assert starts[-1] == 0

    def test_an_error_is_not_the_end_of_the_input(self, tmp_path):
        reader = PartReader(AdSource(str(tmp_path / "ads.csv"), "text"))
        for _ in range(2):
            with pytest.raises(SkillFinderError, match="neither"):
                reader.read(0, 2)


def test_a_broken_input_is_said_and_the_other_parts_are_made(tmp_path, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr("page_model.open_service", lambda *_: SimpleNamespace(finder=tiny_finder()))
    file = tmp_path / "ads.csv"
    file.write_text("text\n" + "You bake bread\n" * PART_ROWS + '"' + "x" * 17_000_000, encoding="utf-8")
    parts = Parts(tmp_path / "out.parquet")
    parts.open({}, restart=False)
    options = {**dict.fromkeys(("model", "skills", "backend", "threshold", "top_k", "all")), "weights": ""}
    make = PartMaker(AdSource(str(file), "text"), parts, options)
    assert make({"part": [0]}) == {"error": [""]}
    (error,) = make({"part": [1]})["error"]
    assert "ads.csv line" in error
    # A process that opens another model than the one that runs the bulk makes no part at all.
    other = PartMaker(AdSource(str(file), "text"), parts, {**options, "weights": "another"})
    (error,) = other({"part": [2]})["error"]
    assert "found other weights" in error
    assert not parts.is_done(2)
    assert (parts.is_done(0), parts.is_done(1)) == (True, False)


class FakeRay:
    """ray.init as it behaves where a cluster is, or is not, or should be."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.joined: list[int | None] = []

    def init(self, num_cpus=None, **_):
        if self.cluster != "none" and num_cpus is not None:
            raise ValueError("When connecting to an existing cluster, num_cpus and num_gpus must not be provided.")
        if self.cluster == "gone":
            raise ConnectionError("failed to connect")
        self.joined.append(num_cpus)


def test_a_cluster_that_is_there_is_joined():
    """Ray refuses num_cpus then, and without a cluster it is what --workers says."""
    there, alone = FakeRay("there"), FakeRay("none")
    connect(there, 3)
    connect(alone, 3)
    assert (there.joined, alone.joined) == ([None], [3])
    with pytest.raises(SkillFinderError, match="does not answer"):
        connect(FakeRay("gone"), 3)


def given_for(tmp_path, workers=2):
    model, skills = stub_model(tmp_path), tmp_path / "skills.csv"
    skills.write_text(CSV_SKILLS, encoding="utf-8")
    places = {"model": str(model), "skills": str(skills), "backend": "auto"}
    return Namespace(workers=workers, threshold=0.0, top_k=1, all=False, **places)


def test_a_dataset_of_a_hub_is_refused_in_words(tmp_path):
    """Its rows have no numbers that a process could begin at; nothing is started for it."""
    parts = Parts(tmp_path / "out.parquet")
    with pytest.raises(SkillFinderError, match="--engine ray reads files; download the dataset first"):
        run_on_ray(AdSource("someone/ads", "text"), parts, Namespace(workers=2), tiny_finder())


@pytest.fixture
def two_nodes(monkeypatch):
    """Address of a cluster of two nodes with one core each, which RAY_ADDRESS names."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 1, "object_store_memory": 80 * 1024**2}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        yield ray
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_of_two_nodes_gives_the_same_file(tmp_path, two_nodes):
    """A worker takes a core, so that two are on two nodes; skipped only where ray is not installed.

    The first of three parts was made here before: it is taken over as it is.
    """
    from page_model import open_service

    given = given_for(tmp_path)
    finder = open_service(given.model, given.skills).finder
    source = AdSource(str(write_ads(tmp_path / "ads.parquet", [f"bread {i}" for i in range(1100)])), "text")
    by_ray = Parts(tmp_path / "ray.parquet")
    by_ray.open({}, restart=False)
    by_ray.save(0, PartWorker(finder, 0.0, 1).work(next(in_parts(source.rows())), 0))
    made_here = by_ray.path(0).stat().st_mtime_ns
    count = run_on_ray(source, by_ray, given, finder)
    assert (count, by_ray.path(0).stat().st_mtime_ns) == (3, made_here)
    by_ray.join(count)
    nodes = [node for node in two_nodes.nodes() if node["Alive"]]
    assert [node["Resources"]["CPU"] for node in nodes] == [1, 1]
    given.workers = 3
    by_ray.open({}, restart=False)
    with pytest.raises(SkillFinderError, match="--workers 3 is more than the 2 CPU cores"):
        run_on_ray(source, by_ray, given, finder)
    here = Parts(tmp_path / "local.parquet")
    here.open({}, restart=False)
    here.join(bulk.run_local(source, here, PartWorker(finder, 0.0, 1), quiet=True))
    assert pq.read_table(tmp_path / "ray.parquet").equals(pq.read_table(tmp_path / "local.parquet"))
