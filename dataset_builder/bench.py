"""The builder's figures against a local stub server -> results/builder.json.

    python -m dataset_builder.bench [--requests 20000] [--kills 20] [--resume 140000] [--out results/builder.json]

Throughput and memory at a fixed latency, SIGKILL at random moments, the time that a finished plan takes to resume,
every fault of a faulty server against what was recognised, and the time that near-duplicates take to find. Kills and
faults are in `bench_faults`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
from rapidfuzz import fuzz

from dataset_builder.bench_faults import measure_faults, measure_kills
from dataset_builder.chat_client import ChatClient
from dataset_builder.contract import code_version, run_command, write_atomically
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.filters import NEAR_SCORE, Report, normal_form
from dataset_builder.generate import Generation
from dataset_builder.journal import REPLY, Entry, Journal
from dataset_builder.limits import Limits
from dataset_builder.near_duplicates import MIN_WORDS, drop_near_duplicates
from dataset_builder.plan import Endpoint, Sampling, ask_again, make_plan
from dataset_builder.sentences import Sentence
from dataset_builder.stub_server import reply_text
from dataset_builder.words import words_of

LATENCY_S = 0.2
CONCURRENCY = 32
FURTHER_ROUNDS = 2
CHANGED_SHARE = 20
SEED = 13
RELEASES = Path(__file__).parent / "releases"
STUB = Endpoint("http://127.0.0.1/v1", "stub", provider="stub")


def skills_for_bench(count: int) -> EscoRelease:
    """A release of made-up skills."""
    skills = tuple(Skill(f"urn:{n}", f"skill {n}", description="What it takes to do this. " * 3) for n in range(count))
    return EscoRelease(version="0.0", language="en", skills=skills)


@contextmanager
def stub_process(latency_s: float) -> Iterator[str]:
    """A stub server in a process of its own, so that it does not share our event loop; yields its base URL."""
    command = [sys.executable, "-m", "dataset_builder.stub_server", "--latency", str(latency_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.kill()
        process.wait()


def measure_throughput(requests: int, folder: Path) -> dict[str, float]:
    """Requests a second against a server with a fixed latency, and memory early on, half-way and at the end."""
    plan = make_plan(skills_for_bench(requests), {"styled": 4})
    possible = CONCURRENCY / LATENCY_S
    memory: list[float] = []
    with stub_process(LATENCY_S) as url, Journal(folder / "throughput.sqlite") as journal:
        generation = Generation(plan, journal, STUB, Sampling(), Limits(concurrency=CONCURRENCY))
        ended = threading.Event()
        watcher = threading.Thread(target=_watch_memory, args=(memory, ended))
        watcher.start()
        started = time.perf_counter()
        progress = generation.run(ChatClient(url, "stub"))
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
        answered = len(journal)
    return {
        "requests": requests,
        "answered": answered,
        "waits": progress.waits.total(),
        "latency_s": LATENCY_S,
        "concurrency": CONCURRENCY,
        "seconds": seconds,
        "requests_per_s": answered / seconds,
        "possible_requests_per_s": possible,
        "share_of_possible": answered / seconds / possible,
        "memory_after_a_tenth_mb": memory[len(memory) // 10],
        "memory_half_way_mb": memory[len(memory) // 2],
        "memory_at_the_end_mb": memory[-1],
        "memory_peak_mb": max(memory),
    }


def _watch_memory(samples: list[float], ended: threading.Event) -> None:
    while True:
        samples.append(memory_bytes() / 1e6)
        if ended.wait(0.1):
            return


def measure_resume(requests: int, folder: Path) -> dict[str, float]:
    """Seconds to find that a finished plan lacks nothing, planning included.

    With a budget, what further rounds may ask is planned and looked up as well: the second time.
    """
    release, families = skills_for_bench(requests // 10), {"styled": 40}
    plan = make_plan(release, families)
    text = reply_text({"messages": [], "seed": 1}, 4)
    with Journal(folder / "resume.sqlite") as journal:
        entries = [
            Entry(ask.key(STUB, Sampling(), 0), REPLY, text, "stop", 260, 60, True, ask.about) for ask in plan.asks
        ]
        journal.put_many(entries)

        def resume(rounds: int) -> tuple[int, float]:
            started = time.perf_counter()
            plan = wider = make_plan(release, families)
            for _ in range(rounds):
                wider = ask_again(wider, release, list(families), SEED, release.skills)
            later = wider.asks[len(plan.asks) :]
            missing = Generation(plan, journal, STUB, Sampling(), Limits(), later=later).missing()
            return len(missing), time.perf_counter() - started

        missing, seconds = resume(0)
        _, with_rounds = resume(FURTHER_ROUNDS)
    return {
        "requests": len(plan.asks),
        "missing": missing,
        "seconds": seconds,
        "seconds_with_a_budget_and_two_more_rounds": with_rounds,
    }


def measure_near_duplicates(sentences: int, seed: int = 1) -> dict[str, float]:
    """Seconds to find near-duplicates among halves of released sentences joined at random, and how many are found.

    One in CHANGED_SHARE of them comes again with a word changed, for another skill. Where both are near by the score
    that counts, it should go; how many do is what the filter's look-up by rare words costs.
    """
    released = sorted(RELEASES.glob("v*/pairs/train.parquet"))[-1]
    halves = [text.split() for text in pq.read_table(released, columns=["sentence"])["sentence"].to_pylist()]
    rng = random.Random(seed)
    skill, other = (Skill("urn:1", "skill"),), (Skill("urn:2", "other"),)
    made = []
    for _ in range(sentences):
        first, second = rng.choice(halves), rng.choice(halves)
        text = " ".join([*first[: len(first) // 2], *second[len(second) // 2 :]])
        made.append(Sentence(text, skill, "duty", "styled"))
    pairs = [(one, Sentence(_changed(one.text, rng), other, "duty", "styled")) for one in made[::CHANGED_SHARE]]
    near = {changed.text for one, changed in pairs if _are_near(one.text, changed.text)}
    started = time.perf_counter()
    kept = drop_near_duplicates([*made, *(changed for _, changed in pairs)], Report())
    seconds = time.perf_counter() - started
    missed = sum(one.skills == other and one.text in near for one in kept)
    return {"sentences": len(made) + len(pairs), "seconds": seconds, "near": len(near), "missed": missed}


def _changed(text: str, rng: random.Random) -> str:
    """The text with one of its words in the plural, gone, or another."""
    words = text.split()
    number = rng.randrange(len(words))
    words[number : number + 1] = rng.choice([[f"{words[number]}s"], [], [rng.choice(words)]])
    return " ".join(words)


def _are_near(one: str, other: str) -> bool:
    shortest = min(len(words_of(normal_form(text))) for text in (one, other))
    return shortest >= MIN_WORDS and fuzz.token_sort_ratio(normal_form(one), normal_form(other)) >= NEAR_SCORE


def memory_bytes() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.bench", description="The builder's figures")
    parser.add_argument("--requests", type=int, default=20_000, help="for throughput (default: 20000)")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs (default: 20)")
    parser.add_argument("--resume", type=int, default=140_000, help="requests of the finished plan (default: 140000)")
    parser.add_argument("--faults", type=int, default=2_000, help="requests to the faulty server (default: 2000)")
    parser.add_argument("--sentences", type=int, default=140_000, help="for near-duplicates (default: 140000)")
    parser.add_argument("--out", default="results/builder.json")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results: dict[str, object] = {
            "command": "python -m dataset_builder.bench",
            "code_version": code_version(),
            "cpu_cores": os.cpu_count(),
            "load_average_before": os.getloadavg()[0],
            "throughput": measure_throughput(options.requests, folder),
            "resume": measure_resume(options.resume, folder),
            "kills": measure_kills(options.kills, folder),
            "faults": measure_faults(options.faults, folder),
            "near_duplicates": measure_near_duplicates(options.sentences),
        }
    write_atomically(options.out, json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    sys.exit(run_command(main))
