"""The builder's figures against a local stub server -> results/builder.json.

    python -m dataset_builder.bench [--requests 20000] [--kills 20] [--resume 140000] [--out results/builder.json]

Throughput and memory at a fixed latency, SIGKILL at random moments, and the time that a finished plan takes to resume.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dataset_builder.chat_client import ChatClient
from dataset_builder.contract import code_version, run_command, sha256_of_file, write_atomically
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.generate import Generation
from dataset_builder.journal import REPLY, Entry, Journal
from dataset_builder.plan import Endpoint, Sampling, make_plan
from dataset_builder.schema import PAIRS_FILES, SKILLS_FILE
from dataset_builder.sending import Limits
from dataset_builder.stub_server import StubBehaviour, StubServer, reply_text

LATENCY_S = 0.2
CONCURRENCY = 32
KILL_SKILLS = 240
KILL_CONCURRENCY = 8
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
    """Requests a second against a server with a fixed latency, and memory at the start, half-way and at the end."""
    plan = make_plan(skills_for_bench(requests), {"styled": 4})
    possible = CONCURRENCY / LATENCY_S
    with stub_process(LATENCY_S) as url, Journal(folder / "throughput.sqlite") as journal:
        generation = Generation(plan, journal, STUB, Sampling(), Limits(concurrency=CONCURRENCY))
        before = memory_bytes()
        started = time.perf_counter()
        progress = generation.run(ChatClient(url, "stub"))
        seconds = time.perf_counter() - started
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
        "memory_before_mb": before / 1e6,
        "memory_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def measure_resume(requests: int, folder: Path) -> dict[str, float]:
    """Seconds to find that a finished plan lacks nothing, planning included."""
    release = skills_for_bench(requests // 10)
    plan = make_plan(release, {"styled": 40})
    text = reply_text({"messages": [], "seed": 1}, 4)
    with Journal(folder / "resume.sqlite") as journal:
        entries = [
            Entry(ask.key(STUB, Sampling(), 0), REPLY, text, "stop", 260, 60, True, ask.about) for ask in plan.asks
        ]
        journal.put_many(entries)
        started = time.perf_counter()
        plan = make_plan(release, {"styled": 40})
        missing = Generation(plan, journal, STUB, Sampling(), Limits()).missing()
        seconds = time.perf_counter() - started
    return {"requests": len(plan.asks), "missing": len(missing), "seconds": seconds}


def measure_kills(kills: int, folder: Path, seed: int = 1) -> dict[str, float | bool]:
    """Kill a build at random moments, then let it finish, and compare with an undisturbed one."""
    taxonomy = folder / "skills.csv"
    taxonomy.write_text("id,label\n" + "".join(f"urn:{n},skill {n}\n" for n in range(KILL_SKILLS)))
    moments = random.Random(seed)
    resumed_exactly = True
    with StubServer(StubBehaviour(latency_s=0.1)) as server:
        subprocess.run(_build(taxonomy, folder / "whole", server.url), check=True, capture_output=True)
        undisturbed, before_kills = server.requests, server.requests
        for _ in range(kills):
            child = subprocess.Popen(_build(taxonomy, folder / "killed", server.url), stderr=subprocess.DEVNULL)
            asked = server.requests
            while server.requests == asked and child.poll() is None:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.25))
            child.kill()
            child.wait()
        with Journal(folder / "killed.journal.sqlite") as journal:
            on_file = len(journal)
        asked = server.requests
        subprocess.run(_build(taxonomy, folder / "killed", server.url), check=True, capture_output=True)
        resumed_exactly = server.requests - asked == undisturbed - on_file
        total = server.requests - before_kills
    same = all(
        sha256_of_file(folder / "whole" / name) == sha256_of_file(folder / "killed" / name)
        for name in (*PAIRS_FILES.values(), SKILLS_FILE)
    )
    return {
        "kills": kills,
        "requests_undisturbed": undisturbed,
        "on_file_after_the_kills": on_file,
        "requests_with_kills": total,
        "repeated_because_in_flight_at_a_kill": total - undisturbed,
        "at_most_in_flight": kills * KILL_CONCURRENCY,
        "last_run_asked_only_what_was_missing": resumed_exactly,
        "parquet_identical": same,
    }


def _build(taxonomy: Path, out: Path, url: str) -> list[str]:
    options = {
        "--esco": taxonomy,
        "--out": out,
        "--version": "0.1.0",
        "--base-url": url,
        "--model": "stub",
        "--provider": "stub",
        "--concurrency": KILL_CONCURRENCY,
    }
    flags = [str(part) for pair in options.items() for part in pair]
    return [sys.executable, "-m", "dataset_builder.build", *flags]


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
        }
    write_atomically(options.out, json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    sys.exit(run_command(main))
