"""Many ads: what is held does not grow with their number."""

import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

import bulk
import bulk_parts
import bulk_rows
from bulk_output import Parts
from bulk_parts import PartWorker
from bulk_rows import AdSource
from skill_finder import SkillFinder
from skill_index import SkillIndex
from tests.bulk_ads import write_ads
from tests.tiny_finder import SKILLS
from token_scores import RememberingReader


class SeededEncoder:
    """Vectors of 256 numbers made from the text's hash; remembers nothing."""

    def encode(self, sentences):
        seeds = [random.Random(sentence).randrange(2**32) for sentence in sentences]
        vectors = np.stack([np.random.default_rng(seed).normal(size=256).astype(np.float32) for seed in seeds])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def small_limits(monkeypatch):
    """Everything that is kept is full after 100 ads, so that 200 ads show the most that any number takes."""
    monkeypatch.setattr(bulk, "PART_ROWS", 50)
    monkeypatch.setattr(bulk_parts.in_parts, "__defaults__", (50,))
    monkeypatch.setattr(bulk_rows, "READ_AT_ONCE", 50)
    monkeypatch.setattr(bulk_parts, "TEXTS_KEPT", 100)
    monkeypatch.setattr(RememberingReader.__init__, "__defaults__", (300,))


def peak_bytes(folder, ads: int) -> int:
    """Most bytes held by Python and numpy while `ads` different ads of a few passages are read and written."""
    encoder = SeededEncoder()
    index = SkillIndex(SKILLS, encoder.encode([skill.label for skill in SKILLS]), "tiny")
    source = AdSource(str(write_ads(folder / f"{ads}.parquet", [ad(number) for number in range(ads)])), "text")
    parts = Parts(folder / f"{ads}-skills.parquet")
    tracemalloc.start()
    try:
        worker = PartWorker(SkillFinder(encoder, index))
        parts.open({}, restart=False)
        parts.join(bulk.run_local(source, parts, worker, quiet=True))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def ad(number: int) -> str:
    return f"- You bake bread {number} times\n- We are team {number} of many\n- Plan shifts of {number} employees\n"


def test_what_is_held_does_not_grow_with_the_ads(tmp_path, small_limits):
    """Four times as many ads, 10% more bytes at most."""
    peak_bytes(tmp_path, 100)
    assert peak_bytes(tmp_path, 800) < 1.1 * peak_bytes(tmp_path, 200)


def test_the_limits_are_what_keeps_it_so(tmp_path, small_limits, monkeypatch):
    """With room for every passage, 2,400 vectors of 256 numbers (2.4 MB) stay."""
    monkeypatch.setattr(RememberingReader.__init__, "__defaults__", (10_000,))
    peak_bytes(tmp_path, 100)
    assert peak_bytes(tmp_path, 800) > 1.5 * peak_bytes(tmp_path, 200)


def test_a_large_row_group_is_read_a_page_at_a_time(tmp_path):
    """One row group of 16 MB that does not compress: half of it is never held while its rows are read."""
    chance = random.Random(0)
    ads = write_ads(tmp_path / "ads.parquet", [chance.randbytes(1000).hex() for _ in range(8000)])
    assert ads.stat().st_size > 16_000_000
    before, most = pa.total_allocated_bytes(), 0
    for _ in AdSource(str(ads), "text").rows():
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 8_000_000
