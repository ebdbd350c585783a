"""Rows of ads -> rows of the output, a part at a time, with what comes again in the ads done once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bulk_output import PART_ROWS
from bulk_rows import Row
from skill_finder import SkillFinder, SkillFinderError
from skill_index import Encoder, Vectors
from skill_match import SkillMatch

# Texts found at once: their passages are encoded together, sorted by length.
TEXTS_AT_ONCE = 64
# Passages and ads that come again ("We offer:", the same ad twice): 50,000 vectors of 384 are 77 MB.
VECTORS_KEPT, TEXTS_KEPT = 50_000, 20_000


class RememberingEncoder:
    """An encoder that keeps the vectors of the passages it saw last: ads of one company share half their sentences."""

    def __init__(self, encoder: Encoder, kept: int = VECTORS_KEPT) -> None:
        self._encoder = encoder
        self._kept = kept
        self._known: OrderedDict[str, Vectors] = OrderedDict()
        self.encoded = 0

    def encode(self, sentences: list[str]) -> Vectors:
        """Vectors of `sentences`, shape (sentences, dimensions); only new ones are encoded."""
        fresh = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._known]
        made = dict(zip(fresh, self._encoder.encode(fresh), strict=True)) if fresh else {}
        self.encoded += len(fresh)
        result = np.stack([made[sentence] if sentence in made else self._known[sentence] for sentence in sentences])
        for sentence in sentences:
            if sentence in made:
                self._known[sentence] = made[sentence]
            self._known.move_to_end(sentence)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return result


class PartWorker:
    """Turns rows into output rows with one finder; remembers ads and passages that come again."""

    def __init__(self, finder: SkillFinder, threshold: float | None = None, top_k: int | None = None) -> None:
        self.finder = finder
        self.encoder = RememberingEncoder(finder.encoder)
        self.finder.encoder = self.encoder
        self.threshold = threshold
        self.top_k = top_k
        self._found: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def work(self, rows: Sequence[Row], first_row: int) -> list[dict[str, Any]]:
        """Output rows for `rows`, the first of which is row `first_row` of the input."""
        errors = self._find_new([row.text for row in rows if row.text is not None])
        out = []
        for number, row in enumerate(rows, first_row):
            error = row.error or (errors.get(row.text) if row.text is not None else None)
            skills = [] if error or row.text is None else self._found[row.text]
            out.append({"row": number, "key": row.key, "skills": skills, "error": error})
        while len(self._found) > TEXTS_KEPT:
            self._found.popitem(last=False)
        return out

    def _find_new(self, texts: Sequence[str]) -> dict[str, str]:
        """Find the skills of texts not seen lately; returns what went wrong, by text."""
        errors: dict[str, str] = {}
        fresh = [text for text in dict.fromkeys(texts) if text not in self._found]
        for text in texts:
            if text in self._found:
                self._found.move_to_end(text)
        for start in range(0, len(fresh), TEXTS_AT_ONCE):
            chunk = fresh[start : start + TEXTS_AT_ONCE]
            try:
                found = self._matches(chunk)
            except SkillFinderError:
                found = []
                for text in chunk:
                    try:
                        found += self._matches([text])
                    except SkillFinderError as error:
                        errors[text] = str(error)
                        found.append([])
            self._found.update(zip(chunk, map(_as_rows, found), strict=True))
        return errors

    def _matches(self, texts: Sequence[str]) -> list[list[SkillMatch]]:
        return self.finder.find_skills_batch(texts, top_k=self.top_k, threshold=self.threshold, narrow=False)


def _as_rows(matches: Sequence[SkillMatch]) -> list[dict[str, Any]]:
    return [
        {
            "uri": match.uri,
            "label": match.label,
            "type": match.type,
            "score": match.score,
            "start": match.evidence[0].start,
            "end": match.evidence[0].end,
        }
        for match in matches
    ]


def in_parts(rows: Iterator[Row], size: int = PART_ROWS) -> Iterator[list[Row]]:
    """Lists of `size` rows, the last one shorter."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
