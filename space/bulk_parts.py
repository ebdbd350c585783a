"""Rows of ads -> rows of the output, a part at a time, with what comes again in the ads done once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from bulk_output import PART_ROWS
from bulk_rows import Row
from skill_finder import SkillFinder, SkillFinderError
from skill_match import SkillMatch
from token_scores import RememberingReader

# Texts found at once: their passages are encoded together, sorted by length.
TEXTS_AT_ONCE, CHARS_AT_ONCE = 64, 500_000
TEXTS_KEPT = 20_000  # ads that come again
PLAIN_TEXT = "You plan the work of a team."


class PartWorker:
    """Turns rows into output rows with one finder; remembers ads and passages that come again."""

    def __init__(
        self, finder: SkillFinder, threshold: float | None = None, top_k: int | None = None, merge: bool = True
    ) -> None:
        self.finder = finder
        self.reader = RememberingReader(finder.reader)
        self.finder.reader = self.reader
        self.threshold = threshold
        self.top_k = top_k
        self.merge = merge
        self._found: OrderedDict[bytes, list[dict[str, Any]]] = OrderedDict()

    def work(self, rows: Sequence[Row], first_row: int) -> list[dict[str, Any]]:
        """Output rows for `rows`, the first of which is row `first_row` of the input."""
        errors = self._find_new([row.text for row in rows if row.text is not None])
        out = []
        for number, row in enumerate(rows, first_row):
            error = row.error or (errors.get(row.text) if row.text is not None else None)
            skills = [] if error or row.text is None else self._found[_digest(row.text)]
            out.append({"row": number, "key": row.key, "skills": skills, "error": error})
        while len(self._found) > TEXTS_KEPT:
            self._found.popitem(last=False)
        return out

    def _find_new(self, texts: Sequence[str]) -> dict[str, str]:
        """Find the skills of texts not seen lately; returns what went wrong, by text, which is not remembered."""
        errors: dict[str, str] = {}
        digests = {text: _digest(text) for text in texts}
        for digest in digests.values():
            if digest in self._found:
                self._found.move_to_end(digest)
        for chunk in text_chunks([text for text, digest in digests.items() if digest not in self._found]):
            for text, found in zip(chunk, self._found_or_error(chunk), strict=True):
                if isinstance(found, Exception):
                    errors[text] = str(found) if isinstance(found, SkillFinderError) else _in_one_line(found)
                else:
                    self._found[digests[text]] = _as_rows(found)
        return errors

    def _found_or_error(self, texts: Sequence[str]) -> Sequence[list[SkillMatch] | Exception]:
        """Matches of each text, or what finding them raised."""
        results: list[list[SkillMatch] | Exception] = []
        try:
            results += self._matches(texts)
            return results
        except Exception:
            for text in texts:
                try:
                    results += self._matches([text])
                except Exception as error:  # whatever one text does, the others are read
                    results.append(error)
        if all(isinstance(result, Exception) for result in results):
            # Where not even this can be read, no text is to blame: the run ends, and can go on later.
            self._matches([PLAIN_TEXT])
        return results

    def _matches(self, texts: Sequence[str]) -> list[list[SkillMatch]]:
        return self.finder.find_skills_batch(
            texts, top_k=self.top_k, threshold=self.threshold, merge=self.merge, narrow=False
        )


def text_chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts to find at once: not too many, and not too much text in all."""
    chunk: list[str] = []
    chars = 0
    for text in texts:
        if chunk and (len(chunk) == TEXTS_AT_ONCE or chars + len(text) > CHARS_AT_ONCE):
            yield chunk
            chunk, chars = [], 0
        chunk.append(text)
        chars += len(text)
    if chunk:
        yield chunk


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


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
