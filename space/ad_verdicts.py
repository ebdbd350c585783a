"""Skills found in whole ads -> a sheet for a judge, and what the judge said of them.

The accepted skills of an ad are a short list, so a skill outside it is not always wrong. A judge who sees the ad and
not the list can say. Every skill found stands on the sheet, and unmarked among them as many that were found in another
ad and not in this one: a judge who says yes to everything says nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from dataset_builder.contract import StageError, sha256_of_file, write_atomically
from dataset_builder.seeded import stable_number

COLUMNS = ("ad", "skill", "line", "judge", "verdict")
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Found:
    """A skill found in an ad, and the line of the ad that shows it best."""

    ad: str
    skill: str
    line: str


def line_at(text: str, place: int) -> str:
    """The line of a text that holds a code point."""
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    return text[start : end if end >= 0 else len(text)].strip()


def with_swapped(found: Sequence[Found], accepted: dict[str, frozenset[str]]) -> list[Found]:
    """What was found and, for each, its ad with a skill of another ad, in an order that tells nothing.

    Args:
        found: of all ads.
        accepted: for each ad the names that a careful reader accepts, none of which is swapped in.
    """
    taken = {(one.ad, one.skill) for one in found}
    rows = list(found)
    for position, one in enumerate(found):
        for step in range(1, len(found)):
            other = found[(position + len(found) // 2 + step) % len(found)].skill
            if (one.ad, other) not in taken and other not in accepted[one.ad]:
                taken.add((one.ad, other))
                rows.append(Found(one.ad, other, one.line))
                break
    return sorted(rows, key=lambda row: (row.ad, stable_number(f"{row.ad}\n{row.skill}")))


def write_sheet(path: Path, rows: Sequence[Found]) -> None:
    """Write a CSV with empty columns `judge` and `verdict` (yes or no) to fill in."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.ad, row.skill, row.line, "", "") for row in rows)
    write_atomically(path, text.getvalue())


def judged(path: Path, found: Sequence[Found]) -> dict[str, Any]:
    """How many of the skills found the judge calls right, and how many of those swapped in, with 95% Wilson intervals.

    All of the sheet that was not found counts as swapped in: give what was found at the sheet's own threshold.

    Raises:
        StageError: no such sheet, one that is not filled in, or one that lacks a skill that was found.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        verdicts = {(row["ad"], row["skill"]): row["verdict"].strip().lower() for row in rows}
        judges = sorted({row["judge"].strip() for row in rows})
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise StageError(
            f"{path} is no sheet of verdicts ({type(error).__name__})", "--sheet FILE writes one"
        ) from None
    if strange := sorted(set(verdicts.values()) - {YES, NO}):
        raise StageError(f"{path}: a verdict is yes or no, not {strange[0]!r}")
    pairs = [(one.ad, one.skill) for one in found]
    if missing := [pair for pair in pairs if pair not in verdicts]:
        raise StageError(
            f"{path} says nothing of {len(missing)} of {len(pairs)} skills found, such as {missing[0][1]!r}",
            "Have them judged: --sheet FILE",
        )
    swapped = verdicts.keys() - set(pairs)
    return {
        "judge": ", ".join(judges),
        "sheet_sha256": sha256_of_file(path),
        "found": _count([verdicts[pair] for pair in pairs]),
        "swapped": _count([verdicts[pair] for pair in swapped]),
    }


def _count(verdicts: Sequence[str]) -> dict[str, float]:
    right = sum(verdict == YES for verdict in verdicts)
    low, high = binomtest(right, len(verdicts)).proportion_ci(method="wilson") if verdicts else (0.0, 1.0)
    return {"skills": len(verdicts), "right": right, "right_low": float(low), "right_high": float(high)}
