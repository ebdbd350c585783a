"""Whole ads with the skills a careful reader accepts -> how many of ours are wrong.

    python -m space.measure_ads MODEL tests/data/ads
    python -m space.measure_ads MODEL tests/data/ads --sheet artifacts/ads_to_judge.csv
    python -m space.measure_ads MODEL tests/data/ads --verdicts results/ads_judged.csv

A skill found is right when the reader accepted it, or one as good, anywhere in the ad; the accepted lists are short, so
"wrong" here is an upper bound. Fusion is measured against the encoder alone and the written names alone. The second
command writes a sheet for a judge who does not see these lists; the third counts what the judge said as well.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ad_verdicts import Found, judged, line_at, with_swapped, write_sheet
from dataset_builder.contract import StageError, code_version, run_command, write_atomically
from encoders import BACKENDS
from skill_finder import Fusion, SkillFinder, SkillFinderError
from skill_match import SkillMatch

HIGHER = (0.7, 0.8, 0.9)  # thresholds, beside the one in use, whose finds a judge's verdicts are counted for


@dataclass(frozen=True)
class GoldAd:
    """An ad: for each skill asked for, the labels accepted for it; and the passages that ask for nothing."""

    title: str
    text: str
    accepted: tuple[frozenset[str], ...]
    no_skill: tuple[str, ...]


def read_ads(folder: Path) -> list[GoldAd]:
    """Read a folder of JSON files, one an ad.

    Raises:
        StageError: no ad there, or one of another shape.
    """
    ads = []
    for file in sorted(folder.glob("*.json")):
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            accepted = tuple(frozenset([skill["label"], *skill.get("also", [])]) for skill in data["skills"])
            ads.append(GoldAd(data["title"], data["text"], accepted, tuple(data["no_skill_passages"])))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise StageError(f"{file} is not an ad with its skills ({error!r})") from None
    if not ads:
        raise StageError(f"{folder} holds no ad", "Give the folder tests/data/ads")
    return ads


def measure(
    finder: SkillFinder, ads: Sequence[GoldAd], fusion: Fusion, threshold: float | None = None
) -> dict[str, Any]:
    """Found, right and wrong skills over all ads, and evidence inside passages that ask for nothing."""
    found = right = covered = in_silence = 0
    for ad in ads:
        matches = finder.find_skills(ad.text, fusion=fusion, threshold=threshold)
        accepted = frozenset().union(*ad.accepted)
        names = {name for match in matches for name in (match.label, *match.similar)}
        found += len(matches)
        right += sum(not accepted.isdisjoint((match.label, *match.similar)) for match in matches)
        covered += sum(not names.isdisjoint(labels) for labels in ad.accepted)
        in_silence += sum(_lies_in_silence(match, ad) for match in matches)
    wanted = sum(len(ad.accepted) for ad in ads)
    return {
        "ads": len(ads),
        "skills_found_an_ad": found / len(ads),
        "wrong_an_ad": (found - right) / len(ads),
        "wrong_share": (found - right) / max(found, 1),
        "asked_for_and_found": covered / wanted,
        "shown_by_no_skill_passages_an_ad": in_silence / len(ads),
    }


def find_all(finder: SkillFinder, ads: Sequence[GoldAd], threshold: float | None = None) -> list[Found]:
    """The skills found in all ads, each with the line that shows it best."""
    return [
        Found(ad.title, match.label, line_at(ad.text, match.evidence[0].start))
        for ad in ads
        for match in finder.find_skills(ad.text, threshold=threshold)
    ]


def _lies_in_silence(match: SkillMatch, ad: GoldAd) -> bool:
    """Whether all that shows a skill is text that asks for none."""
    spans = [(ad.text.find(passage), len(passage)) for passage in ad.no_skill]
    return all(
        any(start <= place.start and place.end <= start + length for start, length in spans if start >= 0)
        for place in match.evidence
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one model on a folder of ads."""
    parser = argparse.ArgumentParser(prog="python -m space.measure_ads", description="Count wrong skills in whole ads.")
    parser.add_argument("model", type=Path)
    parser.add_argument("ads", type=Path, nargs="?", default=Path("tests/data/ads"))
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--sheet", type=Path, metavar="CSV", help="only write a sheet of what was found, for a judge")
    parser.add_argument("--verdicts", type=Path, metavar="CSV", help="a sheet that a judge filled in")
    parser.add_argument("--out", type=Path, default=Path("results/ads.json"))
    given = parser.parse_args(arguments)
    try:
        finder = SkillFinder.from_pretrained(given.model, given.backend)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    ads = read_ads(given.ads)
    if given.sheet:
        accepted = {ad.title: frozenset[str]().union(*ad.accepted) for ad in ads}
        rows = with_swapped(find_all(finder, ads, given.threshold), accepted)
        write_sheet(given.sheet, rows)
        print(f"{given.sheet}: {len(rows)} rows; fill in `judge` and `verdict` (yes or no)")
        return
    by_fusion = {fusion: measure(finder, ads, fusion, given.threshold) for fusion in get_args(Fusion)}
    about = {"model": given.model.name, "backend": finder.backend, "code_version": code_version()}
    about["weights_sha256"] = finder.weights_sha256
    record = {"schema_version": 1, **about, "threshold": given.threshold, "fusion": by_fusion}
    if given.verdicts:
        record["judged"] = judged(given.verdicts, find_all(finder, ads, given.threshold))
        record["judged"]["by_threshold"] = [
            {"threshold": least, "skills_an_ad": len(found) / len(ads), **judged(given.verdicts, found)["found"]}
            for least in HIGHER
            if least > (given.threshold or finder.settings.threshold) and (found := find_all(finder, ads, least))
        ]
    write_atomically(given.out, json.dumps(record, indent=2) + "\n")
    print(report(by_fusion))


def report(by_fusion: dict[str, dict[str, Any]]) -> str:
    """The measured figures as a Markdown table."""
    lines = [
        "| found by | skills an ad | wrong an ad | wrong, share | of those asked for | from no-skill text, an ad |",
        "|---|---|---|---|---|---|",
    ]
    for fusion, value in by_fusion.items():
        cells = (
            fusion,
            f"{value['skills_found_an_ad']:.1f}",
            f"{value['wrong_an_ad']:.1f}",
            f"{100 * value['wrong_share']:.0f}%",
            f"{100 * value['asked_for_and_found']:.0f}%",
            f"{value['shown_by_no_skill_passages_an_ad']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main))
