"""What a build suffers, and what becomes of it: SIGKILL at random moments, and a server with every kind of fault."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dataset_builder.build_options import parse_options
from dataset_builder.chat_client import ChatClient
from dataset_builder.contract import sha256_of_file
from dataset_builder.generate import Generation
from dataset_builder.journal import Journal
from dataset_builder.limits import Limits
from dataset_builder.plan import make_plan
from dataset_builder.schema import PAIRS_FILES, SKILLS_FILE, DatasetManifest
from dataset_builder.sending import WITH_WAIT
from dataset_builder.sentences import collect
from dataset_builder.stub_server import StubBehaviour, StubServer
from dataset_builder.taxonomy_csv import read_taxonomy

KILL_SKILLS = 1200
KILL_CONCURRENCY = 8
FAULT_CONCURRENCY = 32
LONGEST_LIFE_S = 1.0  # after the first request of a run; the first reply takes a tenth of a second
LONGEST_WRITING_S = 0.5  # after the folder is begun; its pictures take longer
# How the faults of the stub server are called where they are recognised, where not by the same name.
SEEN_AS = {
    "429": "http 429",
    "429 with retry-after": f"http 429 {WITH_WAIT}",
    "500": "http 500",
    "503": "http 503",
    "reset": "connection",
    "hang": "timeout",
    "drip": "timeout",
    "truncated json": "broken json",
    "html": "html body",
    "1 MB reply": "oversized reply",
    "fewer lines": "fewer lines than asked",
    "repeated lines": "repeated line",
    "truncated lines": "truncated line",
}


def measure_kills(kills: int, folder: Path, seed: int = 1) -> dict[str, float | bool]:
    """Kill a build at random moments, then let it finish, and compare with an undisturbed one.

    One kill in five waits until the build has all replies and writes its folder.
    """
    taxonomy = _write_taxonomy(folder / "skills.csv", KILL_SKILLS)
    manifest = folder / "killed" / DatasetManifest.FILE_NAME
    moments = random.Random(seed)
    later = (kills + 3) // 5
    hit_writing = 0
    with StubServer(StubBehaviour(latency_s=0.1)) as server:
        command = [_command(taxonomy, folder / name, server.url) for name in ("whole", "killed")]
        subprocess.run(command[0], check=True, capture_output=True)
        undisturbed = before = server.requests
        keys: set[str] = set()
        lost = most_in_vain = 0
        for _ in range(kills - later):
            before_this = server.requests
            _kill(command[1], lambda _: server.requests > before_this, moments.uniform(0, LONGEST_LIFE_S))  # noqa: B023
            with Journal(folder / "killed.journal.sqlite") as journal:
                now = {entry.key for entry in journal.entries()}
            lost += len(keys - now)
            most_in_vain = max(most_in_vain, server.requests - before_this - len(now - keys))
            keys = now
        on_file = len(keys)
        asked = server.requests
        for _ in range(later):
            _kill(command[1], lambda pid: _half_written(folder, pid).exists(), moments.uniform(0, LONGEST_WRITING_S))
            hit_writing += not manifest.exists()
        subprocess.run(command[1], check=True, capture_output=True)
        resumed_exactly = server.requests - asked == undisturbed - on_file
        total = server.requests - before
    same = all(
        sha256_of_file(folder / "whole" / name) == sha256_of_file(folder / "killed" / name)
        for name in (*PAIRS_FILES.values(), SKILLS_FILE)
    )
    return {
        "kills": kills,
        "kills_while_writing": hit_writing,
        "requests_undisturbed": undisturbed,
        "on_file_after_the_kills": on_file,
        "on_file_and_lost_at_a_later_kill": lost,
        "most_sent_and_not_on_file_at_one_kill": most_in_vain,
        "in_flight_at_most": KILL_CONCURRENCY,
        "requests_with_kills": total,
        "repeated_because_in_flight_at_a_kill": total - undisturbed,
        "at_most_in_flight": kills * KILL_CONCURRENCY,
        "last_run_asked_only_what_was_missing": resumed_exactly,
        "parquet_identical": same,
    }


def _kill(command: Sequence[str], begun: Callable[[int], bool], seconds: float) -> None:
    """Start a command, and kill it some time after `begun` says yes to its process number."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not begun(child.pid) and child.poll() is None:
        time.sleep(0.005)
    time.sleep(seconds)
    child.kill()
    child.wait()
    time.sleep(0.2)  # what it had sent is counted by now


def _half_written(folder: Path, pid: int) -> Path:
    return folder / f".killed.{pid}.building"


def measure_faults(requests: int, folder: Path, timeout_s: float = 1.0) -> dict[str, object]:
    """A server with every fault in half of its replies, and in nine of ten for a stretch: what it sent, what we saw.

    What came of it is then written as a dataset, which must be whole.
    """
    taxonomy = _write_taxonomy(folder / "faults.csv", requests)
    behaviour = StubBehaviour(fault_share=0.5, bad_from=requests // 2, bad_to=requests, hang_s=3 * timeout_s)
    limits = Limits(concurrency=FAULT_CONCURRENCY, backoff_base_s=0.01, max_tries=40)
    with StubServer(behaviour) as server, Journal(folder / "faults.journal.sqlite") as journal:
        command = [*_command(taxonomy, folder / "faults", server.url), "--journal-only"]
        options = parse_options(command[3:])
        plan = make_plan(read_taxonomy(taxonomy), options.families, options.seed)
        generation = Generation(plan, journal, options.endpoint, options.sampling, limits)
        progress = generation.run(ChatClient(server.url, "stub", timeout_s=timeout_s))
        collected = collect(generation)
        seen = progress.waits + collected.faults
    sent = Counter(SEEN_AS.get(fault, fault) for fault in server.faults.elements())
    recognised = Counter({name: _count(seen, name) for name in sent})
    subprocess.run(command, check=True, capture_output=True)
    pairs = rows_of_whole_dataset(folder / "faults", folder / "cache")
    return {
        "requests": requests,
        "sent": dict(sorted(sent.items())),
        "recognised": dict(sorted(recognised.items())),
        "every_fault_recognised": all(recognised[name] >= count for name, count in sent.items()),
        "requests_without_a_reply": len(collected.failed),
        "skills_with_a_sentence": len({one.skills[0].uri for one in collected.sentences}),
        "pairs_in_the_dataset": pairs,
        "dataset_valid": pairs > 0,
    }


def _count(seen: Counter[str], name: str) -> int:
    """How often a fault was seen; a connection's comes with its class in brackets."""
    return sum(count for kind, count in seen.items() if kind == name or kind.startswith(f"{name} ("))


def rows_of_whole_dataset(folder: Path, cache: Path) -> int:
    """Rows of the pairs that `load_dataset` opens; 0 where files, rows or sums are not those of the manifest."""
    from datasets import load_dataset

    manifest = DatasetManifest.load(folder)
    skills = manifest.skills
    ended = skills.accepted + sum(skills.rejected.values()) + sum(skills.failed.values())
    kept = manifest.sentences_accepted + sum(manifest.sentences_rejected.values())
    loaded = {config: load_dataset(str(folder), config, cache_dir=str(cache)) for config in ("pairs", "skills")}
    rows = {(config, split): data.num_rows for config, splits in loaded.items() for split, data in splits.items()}
    whole = (
        ended == skills.requested
        and kept == manifest.sentences_written
        and rows == {(file.config, file.split): file.rows for file in manifest.files}
        and all(sha256_of_file(folder / file.path) == file.sha256 for file in manifest.files)
    )
    return sum(count for (config, _), count in rows.items() if config == "pairs") if whole else 0


def _write_taxonomy(path: Path, skills: int) -> Path:
    path.write_text("id,label\n" + "".join(f"urn:{n},skill {n}\n" for n in range(skills)), encoding="utf-8")
    return path


def _command(taxonomy: Path, out: Path, url: str) -> list[str]:
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
