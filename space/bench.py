r"""How fast skills are found here, ours beside what else people run: writes results/extractor.json.

    pip install --no-deps --target artifacts/other esco-skill-extractor==0.1.18
    PYTHONPATH=artifacts/other python -m space.bench MODEL \
        --sentences benchmarks/tech_test.csv benchmarks/house_test.csv usajobs/sentences.txt.gz \
        --queries benchmarks/tech_validation.csv benchmarks/house_validation.csv
    python -m space.bench

The last takes the released model and the released dataset's sentences of this repository. All systems read the same
ads, made by joining the given sentences, in one run on the cores that are there. No sentence comes twice before all
have come, and each figure says how many of its passages differ: ours encodes the same one once, the loop and the bare
encoder every time. A system that is not installed is left out and named. The loop is what a user would write with
sentence-transformers: one sentence after the other, a search over all labels for each. Ours runs as space.bulk does
(evidence is passages, not words), and as a visitor of the page has it where latency is measured. esco-skill-extractor
runs its own code; it first encodes its own list, which is not timed. MODEL needs torch weights for the loop and for
esco-skill-extractor. RP@5 is measured where --queries are given. Memory is the peak of a fresh process that does
nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench_ads import (
    MOST_ADS,
    SENTENCES_AN_AD,
    make_ads,
    most_ads,
    passages_of,
    read_sentences,
    released_sentences,
)
from dataset_builder.benchmark_files import GoldSentence, read_validation_file
from dataset_builder.contract import StageError, code_version, run_command, write_atomically
from encoders import Backend, load_encoder
from other_systems import PACKAGE, OtherExtractor, loop_of_a_user
from page_model import newest_release
from parity import TOP, gold_numbers, r_precision, top_skills
from passage_scores import read_units
from peak_memory import peak_memory_bytes
from skill_finder import SkillFinder, SkillFinderError
from skill_index import SkillIndex, read_index

HERE = Path(__file__).resolve().parent
VISITORS = (1, 8, 32)
ADS_A_VISITOR = 4
MEMORY_ADS = 64
TIMED_BACKENDS: tuple[Backend, ...] = ("torch", "torch-bf16", "onnx", "onnx-int8")


@dataclass(frozen=True)
class Rate:
    """What one system did: `ads` ads of `sentences` passages, `distinct` of them different, in `seconds`."""

    system: str
    ads: int
    sentences: int
    distinct: int
    seconds: float

    @property
    def ads_per_s(self) -> float:
        """Ads a second."""
        return self.ads / self.seconds

    @property
    def sentences_per_s(self) -> float:
        """Passages a second, as our splitter counts them."""
        return self.sentences / self.seconds

    @property
    def distinct_share(self) -> float:
        """Share of passages left when each is counted once."""
        return self.distinct / self.sentences


def timed(system: str, ads: Sequence[str], run: Callable[[Sequence[str]], Any]) -> Rate:
    """Time `run` over all ads, after one ad to warm up."""
    run(ads[:1])
    started = time.perf_counter()
    run(ads)
    seconds = time.perf_counter() - started
    passages = passages_of(ads)
    return Rate(system, len(ads), len(passages), len(set(passages)), seconds)


def timed_encoding(backend: str, ads: Sequence[str], encode: Callable[[list[str]], Any]) -> Rate:
    """Time the encoder alone on every passage of all ads: what ours is measured against."""
    passages = passages_of(ads)
    encode(passages[:SENTENCES_AN_AD])
    started = time.perf_counter()
    encode(passages)
    seconds = time.perf_counter() - started
    return Rate(f"bare encoding, {backend}", len(ads), len(passages), len(set(passages)), seconds)


def latencies(finder: SkillFinder, ads: Sequence[str], visitors: int) -> dict[str, float]:
    """Seconds a visitor waits for an ad when `visitors` ask at once."""

    def visit(ad: str) -> float:
        started = time.perf_counter()
        finder.find_skills(ad)
        return time.perf_counter() - started

    with ThreadPoolExecutor(visitors) as pool:
        waits = sorted(pool.map(visit, [ads[i % len(ads)] for i in range(visitors * ADS_A_VISITOR)]))
    return {"median_s": statistics.median(waits), "p95_s": waits[min(len(waits) - 1, int(0.95 * len(waits)))]}


def read_as_ours(folder: Path, backend: Backend, ads: Sequence[str]) -> None:
    """Open the model and find the skills of `ads`."""
    SkillFinder.from_pretrained(folder, backend).find_skills_batch(ads, narrow=False)


def read_by_loop(folder: Path, ads: Sequence[str]) -> None:
    """The same by the loop of a user."""
    loop_of_a_user(folder, read_index(folder, load_encoder(folder, "torch").weight_file))(ads)


def read_as_other(folder: Path, ads: Sequence[str]) -> None:
    """The same by esco-skill-extractor."""
    OtherExtractor(folder).find(ads)


def cold_start_s(folder: Path) -> float:
    """Seconds from starting app.py on a model until the page answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.perf_counter()
    command = [sys.executable, str(HERE / "app.py"), "--model", str(folder.resolve()), "--port", str(port)]
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return time.perf_counter() - started
            time.sleep(0.1)
        raise StageError(f"the page ended with exit code {process.returncode} on {folder}")
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Task:
    """What is measured: a model folder, ads, how many of them the slow systems read, and queries for RP@5."""

    folder: Path
    ads: Sequence[str]
    loop_ads: int
    static: Path | None = None
    queries: Sequence[GoldSentence] = ()


def measure(task: Task) -> Iterator[tuple[str, Any]]:
    """Yield (name, figure) for every system that can run here."""
    missing = _missing(task.folder)
    yield "left_out", missing
    yield "cold start of the page, s", cold_start_s(task.folder)
    index = read_index(task.folder, load_encoder(task.folder).weight_file)
    for backend in TIMED_BACKENDS:
        if backend not in missing:
            yield from _ours(task, task.folder, backend, backend)
    if task.static:
        yield from _ours(task, task.static, "torch", "static")
    if "torch" not in missing:
        slow = task.ads[: task.loop_ads]
        yield "loop", timed("loop over sentence-transformers", slow, loop_of_a_user(task.folder, index))
        yield "memory, loop", peak_memory_bytes(read_by_loop, task.folder, slow[:MEMORY_ADS])
        if OtherExtractor.is_installed():
            yield from _other(task, slow, index)


def _ours(task: Task, folder: Path, backend: Backend, name: str) -> Iterator[tuple[str, Any]]:
    """The figures of one form of the model, called `name` in the record."""
    finder = SkillFinder.from_pretrained(folder, backend)
    bare = timed_encoding(name, task.ads, finder.encoder.encode)
    yield f"bare encoding, {name}", bare
    ours = timed(f"ours, {name}", task.ads, lambda ads: finder.find_skills_batch(ads, narrow=False))
    yield f"ours, {name}", ours
    yield f"share of bare encoding, {name}", ours.sentences_per_s / bare.sentences_per_s
    # Items of lists are encoded as well as their passage: what the encoder is given, against the rate it reaches alone.
    given = _encoded_characters(task.ads) / ours.seconds
    yield f"share of bare encoding by characters, {name}", given / (_characters(passages_of(task.ads)) / bare.seconds)
    yield f"latency, {name}", {str(visitors): latencies(finder, task.ads, visitors) for visitors in VISITORS}
    yield f"memory, {name}", peak_memory_bytes(read_as_ours, folder, backend, task.ads[:MEMORY_ADS])
    if task.queries:
        number = {skill.label: i for i, skill in enumerate(finder.index.skills)}
        ranked = top_skills(finder.encoder, finder.index, [query.sentence for query in task.queries], TOP)
        yield f"RP@5, {name}", r_precision(ranked, gold_numbers(task.queries, number))


def _encoded_characters(ads: Sequence[str]) -> int:
    """Characters that ours encodes of ads: each passage that may ask for skills and each item of a list, once."""
    units = [unit for ad in ads for unit in read_units(ad) if not unit.cannot_ask]
    return _characters({span.text for unit in units for span in unit.spans})


def _characters(texts: Collection[str]) -> int:
    return sum(map(len, texts))


def _other(task: Task, ads: Sequence[str], index: SkillIndex) -> Iterator[tuple[str, Any]]:
    other = OtherExtractor(task.folder)
    yield f"{PACKAGE} version", other.version
    yield PACKAGE, timed(PACKAGE, ads, other.find)
    yield f"memory, {PACKAGE}", peak_memory_bytes(read_as_other, task.folder, ads[:MEMORY_ADS])
    if task.queries:
        yield f"RP@5, {PACKAGE}", other.rp_at_5(task.queries, {skill.label: skill.uri for skill in index.skills})


def _missing(folder: Path) -> dict[str, str]:
    """What cannot run here, and why."""
    missing = {}
    for backend in TIMED_BACKENDS:
        try:
            load_encoder(folder, backend)
        except SkillFinderError as error:
            missing[str(backend)] = str(error)
    if not OtherExtractor.is_installed():
        missing[PACKAGE] = "not installed"
    return missing


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m space.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, nargs="?", help="folder with a label index; default: the newest release")
    sentences_help = "CSV or Parquet with a column sentence, or text, one a line; default: the released dataset here"
    parser.add_argument("--sentences", type=Path, nargs="+", help=sentences_help)
    parser.add_argument("--queries", type=Path, nargs="*", default=[], help="validation CSVs to measure RP@5 with")
    parser.add_argument("--static", type=Path, help="folder of a static model with a label index of its own")
    parser.add_argument("--ads", type=int, help=f"default: while no sentence repeats, {MOST_ADS:,} at most")
    parser.add_argument("--loop-ads", type=int, default=100, help="the slow systems read only so many of them")
    parser.add_argument("--out", type=Path, default=Path("results/extractor.json"))
    given = parser.parse_args(arguments)
    model = given.model or newest_release()
    if model is None:
        raise StageError("this repository holds no released model", "Give a model folder")
    files = given.sentences or [released_sentences()]
    sources = [read_sentences(path) for path in files]
    ads = make_ads(sources, most_ads(sources) if given.ads is None else given.ads)
    queries = [query for file in given.queries for query in read_validation_file(file).queries]
    task = Task(model, ads, min(given.loop_ads, len(ads)), given.static, queries)
    figures: dict[str, Any] = {}
    try:
        for name, figure in measure(task):
            figures[name] = _as_figure(figure)
            print(f"{name}: {_in_words(figure)}", flush=True)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    about = {
        "model": model.name,
        "code_version": code_version(),
        "cpu_cores": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "sentences_from": [path.name for path in files],
        "ads": len(ads),
        "sentences_an_ad": SENTENCES_AN_AD,
        "words_an_ad": statistics.mean(len(ad.split()) for ad in ads),
    }
    write_atomically(given.out, json.dumps({"schema_version": 1, **about, "figures": figures}, indent=2) + "\n")


def _as_figure(figure: Any) -> Any:
    if not isinstance(figure, Rate):
        return figure
    derived = ("ads_per_s", "sentences_per_s", "distinct_share")
    return {**asdict(figure), **{name: getattr(figure, name) for name in derived}}


def _in_words(figure: Any) -> str:
    if isinstance(figure, Rate):
        distinct = f"{100 * figure.distinct_share:.0f}% of them distinct"
        return f"{figure.ads_per_s:.1f} ads a second, {figure.sentences_per_s:,.0f} sentences a second ({distinct})"
    return json.dumps(figure)


if __name__ == "__main__":
    sys.exit(run_command(main))
