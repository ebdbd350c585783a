"""Matches and their text -> HTML for the page. Everything that a visitor or a taxonomy wrote is escaped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from urllib.parse import urlsplit

from skill_match import SkillMatch

MAX_TITLE_NAMES = 6
_TYPE_NAMES = {"competence": "Skill", "skill": "Skill", "knowledge": "Knowledge", "language": "Language"}


def marked_text(text: str, matches: Sequence[SkillMatch]) -> str:
    """The text with every piece of evidence marked; `data-skills` lists the numbers of the matches it shows."""
    cuts = sorted({0, len(text), *(edge for m in matches for e in m.evidence for edge in (e.start, e.end))})
    opening: dict[int, list[int]] = defaultdict(list)
    closing: dict[int, list[int]] = defaultdict(list)
    for number, match in enumerate(matches):
        for place in match.evidence:
            opening[place.start].append(number)
            closing[place.end].append(number)
    active: list[int] = []
    parts = []
    for start, end in pairwise(cuts):
        for number in closing[start]:
            active.remove(number)
        active += opening[start]
        parts.append(_piece(text[start:end], sorted(set(active)), matches))
    opening_tag = (
        '<div class="ad-text" dir="auto" tabindex="0" role="region" aria-label="Your text, with its skills marked">'
    )
    return f'<p class="unseen" aria-live="polite"></p>{opening_tag}{"".join(parts)}</div>'


def _piece(text: str, numbers: list[int], matches: Sequence[SkillMatch]) -> str:
    if not numbers:
        return escape(text)
    names = [matches[number].label for number in numbers]
    more = f" and {len(names) - MAX_TITLE_NAMES} more" if len(names) > MAX_TITLE_NAMES else ""
    title = escape("; ".join(names[:MAX_TITLE_NAMES]) + more)
    kind = "knowledge" if matches[numbers[0]].type == "knowledge" else "skill"
    where = " ".join(map(str, numbers))
    # A place is chosen by mouse or keyboard; its name is its own words, and its description the skills.
    shows = f'data-skills="{where}" title="{title}" aria-description="{title}"'
    return f'<mark class="{kind}" tabindex="0" role="button" aria-pressed="false" {shows}>{escape(text)}</mark>'


def skill_table(matches: Sequence[SkillMatch], grouped: bool = False) -> str:
    """A table of the matches, best first, or under the headings of their groups."""
    if not matches:
        return ""
    rows: list[str] = []
    if grouped:
        by_group: dict[str, list[int]] = defaultdict(list)
        for number, match in enumerate(matches):
            by_group[match.group or "Other"].append(number)
        for group, numbers in by_group.items():
            name = escape(group[:1].upper() + group[1:])
            rows.append(
                f'<tr class="group"><th colspan="4" scope="rowgroup">{name} <span>{len(numbers)}</span></th></tr>'
            )
            rows += [_row(number, matches[number]) for number in numbers]
    else:
        rows = [_row(number, match) for number, match in enumerate(matches)]
    return _table(rows, "Skills, best first. Choose one to see where the text says it.")


def ranking(matches: Sequence[SkillMatch]) -> str:
    """A table of the skills nearest to one sentence, which is all there is to show of where they come from."""
    rows = [_row(number, match, can_be_chosen=False) for number, match in enumerate(matches)]
    said = f"{_count(len(rows))}, nearest first."
    return _said(said) + _table(rows, "The skills nearest to the sentence, nearest first.") if rows else ""


def _table(rows: Sequence[str], caption: str) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Skill", "Type", "Match", "Link"))
    return (
        f'<table class="skills"><caption class="unseen">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(number: int, match: SkillMatch, can_be_chosen: bool = True) -> str:
    label = escape(match.label)
    name = label
    if can_be_chosen:
        name = f'<button type="button" class="pick" aria-pressed="false" data-skill="{number}">{label}</button>'
    similar = ""
    if match.similar:
        names = escape(", ".join(match.similar))
        similar = f'<span class="similar">also covers: {names}</span>'
    percent = round(100 * min(max(match.score, 0.0), 1.0))
    kind = _TYPE_NAMES.get(match.type, match.type.capitalize())
    badge = "knowledge" if match.type == "knowledge" else "skill"
    type_cell = f'<span class="badge {badge}">{escape(kind)}</span>' if kind else ""
    return (
        f'<tr data-skill="{number}"><td class="name">{name}{similar}</td><td class="type">{type_cell}</td>'
        f'<td class="score"><span class="bar" aria-hidden="true"><i style="width:{percent}%"></i></span>'
        f'<span class="number">{match.score:.2f}</span></td><td class="link">{_link(match.uri, label)}</td></tr>'
    )


def _link(uri: str, label: str) -> str:
    """A link where the id is a web address, else the id itself."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return escape(uri)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return f"<code>{escape(uri)}</code>"
    name = "ESCO" if parts.netloc.endswith("data.europa.eu") else "Open"
    return (
        f'<a href="{escape(uri)}" target="_blank" rel="noopener noreferrer" '
        f'aria-label="{name}: {label} (opens in a new tab)">{name}&nbsp;↗</a>'
    )


def summary(matches: Sequence[SkillMatch], seconds: float | None = None) -> str:
    """One line on top of the results; says so plainly when there is nothing."""
    if not matches:
        return message(
            "No skills found.",
            "The text asks for none that we are sure of. Try a text with tasks or requirements, "
            "or move “How sure” to the left. This page reads ads in English.",
        )
    places = sum(len(match.evidence) for match in matches)
    count = _count(len(matches))
    spots = f"{places} place{'s' if places > 1 else ''}"
    timing = f" <span>· {seconds:.1f} s</span>" if seconds is not None else ""
    return f'<p class="summary" role="status"><strong>{count}</strong> in {spots} of your text.{timing}</p>'


def _count(skills: int) -> str:
    return f"{skills} skill" + ("" if skills == 1 else "s")


def _said(words: str) -> str:
    """For those who listen: what others see at once."""
    return f'<p class="unseen" role="status">{words}</p>'


def message(headline: str, advice: str = "", problem: bool = False) -> str:
    """A short message in the place of results."""
    role, kind = ("alert", "problem") if problem else ("status", "note")
    return f'<div class="message {kind}" role="{role}"><strong>{escape(headline)}</strong><p>{escape(advice)}</p></div>'


def comparison(common: Sequence[SkillMatch], missing: Sequence[SkillMatch], extra: Sequence[SkillMatch]) -> str:
    """Three columns: asked for and there, asked for and missing, there and not asked for."""
    columns = (
        ("In both", "common", common, "Nothing the two share."),
        ("Asked for, not in the CV", "missing", missing, "Nothing is missing."),
        ("Only in the CV", "extra", extra, "Nothing beyond the ad."),
    )
    said = f"{_count(len(common))} in both, {len(missing)} not in the CV, {len(extra)} only in the CV."
    return _said(said) + '<div class="compare">' + "".join(_column(*column) for column in columns) + "</div>"


def _column(title: str, kind: str, matches: Sequence[SkillMatch], nothing: str) -> str:
    items = "".join(
        f"<li><span>{escape(match.label)}</span> {_link(match.uri, escape(match.label))}</li>" for match in matches
    )
    body = f"<ul>{items}</ul>" if items else f"<p>{nothing}</p>"
    return f'<section class="{kind}"><h3>{title} <span>{len(matches)}</span></h3>{body}</section>'
