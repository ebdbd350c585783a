"""Check that records, cards, results, tags and texts of a release agree, before and after it is published.

    python -m model_card.release --check
    python -m model_card.release --check --dataset DATASET_DIR --model MODEL_DIR --results results/*.json

The first looks at dataset_builder/releases and model_card/releases in the version of pyproject.toml. Prints one line a
check. With --namespace it also looks at the Hub, where nothing may contradict the local folders.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi

from dataset_builder.contract import StageError, run_command
from dataset_builder.hub import DATASET_REPO, METRIC_REPO, SPACE_REPO, model_repo, project_version, tag_of
from dataset_builder.hub_files import HubFiles, check_dataset, collect_files
from dataset_builder.hub_publish import Kind, Version, what_is_published
from dataset_builder.schema import DatasetManifest
from model_card.export_release import release_results
from model_card.facts import CardFacts, gather_facts
from model_card.render import render_card
from training.run_record import TrainingRecord

REPO = Path(__file__).resolve().parent.parent
_RESULTS = re.compile(r"<!-- results -->.*?<!-- /results -->", re.DOTALL)
_PINNED = re.compile(r'revision="(v\d[^"]*)"|@(v\d+(?:\.\w+)*)')


@dataclass(frozen=True)
class Release:
    """The folders of a release and the texts around them."""

    dataset: Path
    model: Path
    results: tuple[Path, ...]
    version: str
    repo_id: str
    licence: str
    root: Path = REPO


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, and what is wrong with it ("" where nothing is)."""

    what: str
    wrong: str


def check_release(release: Release) -> list[Finding]:
    """Run every local check; a check that cannot run is one that failed."""
    checks: dict[str, Callable[[Release], str]] = {
        "changelog": _changelog,
        "dataset folder": _dataset,
        "dataset card": _dataset_card,
        "model and results": _model,
        "model card": _model_card,
        "README": _readme,
        "README's results": _readme_results,
        "git tag": _git_tag,
    }
    return [_find(what, partial(check, release)) for what, check in checks.items()]


def check_hub(release: Release, namespace: str) -> list[Finding]:
    """Hold the Hub against the local folders: each tag is there, and dataset and model have the same content."""
    api, tag, nothing = HfApi(), tag_of(release.version), HubFiles((), ())
    names: list[tuple[Kind, str, Path | None]] = [
        ("dataset", _name_in(DatasetManifest, release.dataset) or DATASET_REPO, release.dataset),
        ("model", model_repo(_name_in(TrainingRecord, release.model)), release.model),
        ("space", METRIC_REPO, None),
        ("space", SPACE_REPO, None),
    ]

    def look(kind: Kind, repo_id: str, folder: Path | None) -> str:
        files = collect_files(folder, namespace, tag=tag) if folder else nothing
        return what_is_published(Version(kind, repo_id, tag, "", files), api, compare=folder is not None)

    return [
        _find(f"Hub {kind} {name}", partial(look, kind, f"{namespace}/{name}", folder)) for kind, name, folder in names
    ]


def _name_in(kind: type[DatasetManifest] | type[TrainingRecord], folder: Path) -> str:
    """The name in a folder's record; "" where there is none to read, which another check says."""
    try:
        return kind.load(folder).name
    except StageError:
        return ""


def _find(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, check())
    except (StageError, OSError, UnicodeDecodeError) as error:
        return Finding(what, str(error))


def _changelog(release: Release) -> str:
    path = release.root / "CHANGELOG.md"
    headings = re.findall(r"^## (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE) if path.exists() else []
    return "" if release.version in headings[:1] else f"CHANGELOG.md does not begin with ## {release.version}"


def _dataset(release: Release) -> str:
    version = check_dataset(release.dataset).version
    return "" if version == release.version else f"manifest.json is of version {version}, not {release.version}"


def _dataset_card(release: Release) -> str:
    path = release.dataset / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(rf"^# .* {re.escape(release.version)}$", text, re.MULTILINE)
    return "" if found else f"{path} is not the card of version {release.version}"


def _model(release: Release) -> str:
    version = _facts(release).version
    return "" if version == release.version else f"{release.model} is of version {version}"


def _model_card(release: Release) -> str:
    path = release.model / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    expected = render_card(_facts(release), release.repo_id, release.licence)
    return "" if text == expected else f"{path} is not what the records give: run `python -m model_card.build`"


def _facts(release: Release) -> CardFacts:
    return gather_facts(release.model, release.results, release.dataset)


def _readme(release: Release) -> str:
    path = release.root / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    other = {one or two for one, two in _PINNED.findall(text)} - {tag_of(release.version)}
    return f"README.md pins {', '.join(sorted(other))}, not {tag_of(release.version)}" if other else ""


def _readme_results(release: Release) -> str:
    """The results table, where README has one, holds RP@5 of this model on every test set."""
    path = release.root / "README.md"
    table = _RESULTS.search(path.read_text(encoding="utf-8")) if path.exists() else None
    wanted = [
        (benchmark.name, benchmark.metrics["rp@5"])
        for one in _facts(release).main
        for benchmark in one.benchmarks
        if benchmark.split == "test"
    ]
    cells = {name: f"{100 * rp.value:.2f} [{100 * rp.low:.2f}, {100 * rp.high:.2f}]" for name, rp in wanted}
    missing = [f"{cell} on {name}" for name, cell in cells.items() if table and cell not in table[0]]
    return f"README.md's table lacks {missing[0]}: run `python -m eval.compare --into README.md`" if missing else ""


def _git_tag(release: Release) -> str:
    """A tag that is not set yet is fine: it comes last. One that is set must be part of this history."""
    tag = tag_of(release.version)
    git = ["git", "-C", str(release.root)]
    if subprocess.run([*git, "rev-parse", "-q", "--verify", f"refs/tags/{tag}"], capture_output=True).returncode:
        return ""
    inside = subprocess.run([*git, "merge-base", "--is-ancestor", tag, "HEAD"], capture_output=True).returncode == 0
    return "" if inside else f"{tag} is set on a commit that is not in this history"


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        yield f"{'FAILS' if finding.wrong else 'ok':<6}{finding.what:<{width}}  {finding.wrong}".rstrip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    version = project_version()
    parser = argparse.ArgumentParser(
        prog="python -m model_card.release", description="Check that everything about a release agrees."
    )
    parser.add_argument("--check", action="store_true", required=True, help="look only; nothing is changed")
    parser.add_argument("--dataset", type=Path, default=REPO / "dataset_builder" / "releases" / f"v{version}")
    parser.add_argument("--model", type=Path, default=REPO / "model_card" / "releases" / f"v{version}")
    parser.add_argument("--results", type=Path, nargs="+", help="default: those that the model folder holds")
    parser.add_argument("--repo-id", default="", help="as given to model_card.build")
    parser.add_argument("--licence", default="apache-2.0", help="as given to model_card.build")
    parser.add_argument("--namespace", help="look at this account on the Hub as well")
    given = parser.parse_args(arguments)
    results = tuple(given.results or release_results(given.model))
    release = Release(given.dataset, given.model, results, version, given.repo_id, given.licence)
    findings = check_release(release)
    if given.namespace:
        findings += check_hub(release, given.namespace)
    print("\n".join(_lines(findings)))
    failed = [finding for finding in findings if finding.wrong]
    if failed:
        raise StageError(f"{len(failed)} of {len(findings)} checks of version {version} failed", "See the lines above")


if __name__ == "__main__":
    sys.exit(run_command(main))
