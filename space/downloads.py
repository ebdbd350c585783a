"""Matches -> CSV and JSON text for people's spreadsheets and programs. Nothing is written to disk here."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from skill_match import SkillMatch

COLUMNS = ("skill", "uri", "type", "score", "group", "found_in", "start", "end", "also_covers")
_FORMULA_SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
_FORMULA_STARTS = (*_FORMULA_SIGNS, "\t", "\r", "\n")
_FORMULA_AFTER_SEMICOLON = re.compile(rf"(;[\s\"']*)(?=[{re.escape(_FORMULA_SIGNS)}])")


def as_records(matches: Sequence[SkillMatch], text: str) -> list[dict[str, Any]]:
    """One plain record a match; `evidence` quotes the user's text at each place, best first."""
    return [
        {
            "label": match.label,
            "uri": match.uri,
            "type": match.type,
            "score": round(match.score, 4),
            "group": match.group,
            "found_by": match.found_by,
            "similar": list(match.similar),
            "evidence": [
                {
                    "start": place.start,
                    "end": place.end,
                    "text": text[place.start : place.end],
                    "score": round(place.score, 4),
                }
                for place in match.evidence
            ],
        }
        for match in matches
    ]


def as_json(records: Sequence[dict[str, Any]], about: dict[str, str]) -> str:
    """Records with what made them: model and taxonomy version."""
    return json.dumps({**about, "skills": list(records)}, ensure_ascii=False, indent=2) + "\n"


def as_csv(records: Sequence[dict[str, Any]]) -> str:
    """One row a skill with its best evidence. Starts with a byte-order mark, which spreadsheets need for UTF-8."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for record in records:
        best = record["evidence"][0]
        row = (
            record["label"],
            record["uri"],
            record["type"],
            record["score"],
            record["group"],
            " ".join(best["text"].split()),
            best["start"],
            best["end"],
            "; ".join(record["similar"]),
        )
        writer.writerow([safe_cell(cell) for cell in row])
    return "\ufeff" + out.getvalue()


def safe_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: text that starts like one gets a quote in front.

    Where decimals have a comma, spreadsheets cut lines at semicolons, even inside quotes: so does the text after one,
    whatever quotes and blanks stand between.
    """
    if not isinstance(value, str):
        return value
    value = _FORMULA_AFTER_SEMICOLON.sub(r"\1'", value)
    return "'" + value if value.lstrip(" \"'").startswith(_FORMULA_STARTS) else value
