"""A job ad -> the skills it asks for, with ids, scores and the places that show them. No page.

    finder = SkillFinder.from_pretrained("path/to/model")
    for match in finder.find_skills(ad): print(match.label, match.uri, match.score, match.evidence)

Score: cosine between a passage and the skill's name (Decorte et al. 2023, section 3.3), or the token-level score of a
model that was trained for it (token_scores.py); a little more where the passage uses the name's own words and a little
less where it does not, the best over all passages; a label that is written out scores at least 0.95, an alias that the
encoder agrees with at least 0.85; see passage_scores.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Literal, Self

import numpy as np

from encoders import Backend, load_encoder
from finder_settings import Settings
from lexicon import Lexicon
from name_words import NameWords
from narrowing import narrow as narrow_evidence
from page_markup import whole_letters
from passage_scores import Hit, PassageScorer, Rule, read_units
from plain_text import join_letters
from skill_index import (
    Encoder,
    Skill,
    SkillFinderError,
    SkillIndex,
    read_index,
    sha256_of_file,
)
from skill_match import Evidence, SkillMatch, merge_near_duplicates
from taxonomy import Progress, cache_folder, encode_skills
from token_scores import NEAREST, Reader, Reading, SpanReader, scores_of

__all__ = ["Evidence", "Settings", "SkillFinder", "SkillFinderError", "SkillMatch"]

Fusion = Literal["both", "meaning", "words"]
MAX_CHARS = 1_000_000


class SkillFinder:
    """Finds the skills of an index in texts. Safe to share between threads: it keeps no state of a text."""

    def __init__(
        self, encoder: Encoder, index: SkillIndex, settings: Settings | None = None, name: str = "", backend: str = ""
    ) -> None:
        self.encoder = encoder
        self.index = index
        self.reader: Reader = SpanReader(encoder, index)
        self.settings = settings or Settings()
        gate = self.settings.gate
        if gate and gate.weights.shape != index.vectors.shape[1:]:
            found = f"weights of shape {gate.weights.shape}, and the index has vectors of {index.vectors.shape[1:]}"
            raise SkillFinderError(f"the gate in skill_finder.json has {found}: calibrate again")
        self.name = name
        self.backend = backend
        self.lexicon = Lexicon(index.skills)
        self.names = NameWords(index.skills)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        backend: Backend = "auto",
        skills: Sequence[Skill] | None = None,
        taxonomy: str = "",
        progress: Progress | None = None,
    ) -> Self:
        """Open a model folder, or a model on the Hub as `name` or `name@revision`.

        Args:
            source: folder or Hub id.
            backend: which weights to run; "auto" takes the fastest that is there.
            skills: skills to look for in place of those the model's label index holds; encoded once for these weights,
                and kept in the user's cache folder.
            taxonomy: what to call `skills`.
            progress: called with (done, total) while `skills` are encoded.

        Raises:
            SkillFinderError: not a model folder, no index and no skills, or an index of other weights or labels.
        """
        folder = model_folder(source)
        loaded = load_encoder(folder, backend)
        settings = Settings.from_file(folder / "skill_finder.json")
        if skills is not None:
            if not skills:
                raise SkillFinderError("the list of skills is empty; leave it out for the model's own")
            weights = sha256_of_file(loaded.weight_file)
            index = encode_skills(list(skills), loaded, taxonomy or "own list", cache_folder(), weights, progress)
            settings = settings.for_names()
        else:
            index = read_index(folder, loaded.weight_file)
            if (index.lengths is not None) != (loaded.encode_spans is not None):
                raise SkillFinderError(
                    f"the label index of {folder} was made for another way to score than training_record.json says: "
                    "make the index again"
                )
        return cls(loaded, index, settings, str(source), loaded.backend)

    @property
    def weights_sha256(self) -> str:
        """Hash of the file that the encoder runs on; "" for an encoder without one."""
        file = getattr(self.encoder, "weight_file", None)
        return sha256_of_file(file) if file else ""

    def with_skills(self, index: SkillIndex) -> SkillFinder:
        """The same encoder, and its settings for names, over another list of skills."""
        return SkillFinder(self.encoder, index, self.settings.for_names(), self.name, self.backend)

    def find_skills(
        self,
        text: str,
        top_k: int | None = None,
        threshold: float | None = None,
        fusion: Fusion = "both",
        merge: bool = True,
        narrow: bool = True,
    ) -> list[SkillMatch]:
        """Skills that `text` asks for, best first; an empty list when it asks for none.

        Args:
            text: a job ad, plain or HTML.
            top_k: at most so many; None gives all above the threshold.
            threshold: least score; None takes the calibrated one.
            fusion: "meaning" uses the encoder alone, "words" the written names alone, "both" the two together.
            merge: put near-duplicates under the best of them.
            narrow: let the evidence be the words that show a skill rather than their passage, where the encoder can.

        Raises:
            SkillFinderError: a value out of range, or a text longer than `MAX_CHARS`.
        """
        return self.find_skills_batch([text], top_k, threshold, fusion, merge, narrow)[0]

    def find_skills_batch(
        self,
        texts: Iterable[str],
        top_k: int | None = None,
        threshold: float | None = None,
        fusion: Fusion = "both",
        merge: bool = True,
        narrow: bool = True,
    ) -> list[list[SkillMatch]]:
        """`find_skills` of each text; a passage that several texts share is encoded once."""
        least = self.settings.threshold if threshold is None else threshold
        texts = texts if isinstance(texts, str) else list(texts)
        _check(texts, top_k, least, fusion)
        if fusion == "words":
            return [self._best(self._written(text, least), least, merge, top_k) for text in texts]
        scorer = PassageScorer(self.index, self.settings.gate, self._rule(fusion, least))
        units = [read_units(text) for text in texts]
        spans = [span.text for of_text in units for unit in of_text if not unit.cannot_ask for span in unit.spans]
        reading_of = self.read_once(spans)
        results = []
        for of_text in units:
            matches = self._matches(scorer.hits(of_text, reading_of))
            results.append(self._best(matches, least, merge, top_k))
        encode_tokens = getattr(self.encoder, "encode_tokens", None)
        return narrow_evidence(texts, results, self.index, encode_tokens) if narrow and encode_tokens else results

    def _rule(self, fusion: Fusion, least: float) -> Rule:
        if fusion == "meaning":
            return Rule(self.lexicon, self.names, least, use_words=False)
        return Rule(self.lexicon, self.names, least, self.settings.agreement)

    def _written(self, text: str, least: float) -> list[SkillMatch]:
        """By words alone: no encoder is asked."""
        rule = self._rule("words", least)
        asking = [unit for unit in read_units(text) if not unit.cannot_ask]
        return self._matches([hit for unit in asking for hit in rule.written(unit, None)])

    def _best(self, matches: list[SkillMatch], least: float, merge: bool, top_k: int | None) -> list[SkillMatch]:
        """Those that reach the threshold: a name that is written out has a score of its own, and it may be below."""
        reached = [match for match in matches if match.score >= least]
        return (merge_near_duplicates(reached, self.index) if merge else reached)[:top_k]

    def rank(self, sentence: str, top_k: int = 20) -> list[SkillMatch]:
        """The `top_k` skills nearest to a sentence, whatever their score: the paper's ranking, or by tokens."""
        _check([sentence], top_k, 0.0, "meaning")
        if not sentence.strip():
            return []
        reader = self.reader if top_k <= NEAREST else SpanReader(self.encoder, self.index, near=top_k)
        scores = scores_of(reader.read([join_letters(whole_letters(sentence))]), self.index)[0]
        best = np.argsort(-scores, kind="stable")[:top_k]
        whole = len(sentence)
        return [self._match([Hit(int(i), Evidence(0, whole, float(scores[i])), "meaning")]) for i in best]

    def read_once(self, texts: Sequence[str]) -> dict[str, Reading]:
        """The reading of each distinct text."""
        unique = list(dict.fromkeys(texts))
        return dict(zip(unique, self.reader.read(unique), strict=True))

    def _matches(self, hits: Sequence[Hit]) -> list[SkillMatch]:
        """Hits by skill, best skill first; equal scores keep the order of the taxonomy."""
        by_skill: dict[int, list[Hit]] = defaultdict(list)
        for hit in hits:
            by_skill[hit.skill].append(hit)
        matches = [self._match(by_skill[skill]) for skill in sorted(by_skill)]
        return sorted(matches, key=lambda match: -match.score)

    def _match(self, hits: Sequence[Hit]) -> SkillMatch:
        skill = self.index.skills[hits[0].skill]
        evidence = tuple(sorted((hit.evidence for hit in hits), key=lambda place: (-place.score, place.start)))
        ways = {hit.found_by for hit in hits}
        return SkillMatch(
            label=skill.label,
            uri=skill.uri,
            type=skill.type,
            score=evidence[0].score,
            evidence=evidence,
            found_by=ways.pop() if len(ways) == 1 else "both",
            group=skill.group,
        )


def model_folder(source: str | Path) -> Path:
    """The folder of a model: `source` itself, or the Hub's copy of `name` or `name@revision`.

    Raises:
        SkillFinderError: neither a folder nor a name that the Hub knows.
    """
    if Path(source).is_dir():
        return Path(source)
    name, _, revision = str(source).partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise SkillFinderError(f"{source} is neither a model folder nor a Hub id such as name/model@v1.0.0")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.txt", "*.safetensors", "label_index/*", "onnx/*", "1_Pooling/*", "2_*/*", "0_*/*"]
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise SkillFinderError(f"cannot open {source} on the Hub ({type(error).__name__})") from None


def _check(texts: Sequence[str], top_k: int | None, threshold: float, fusion: str) -> None:
    if isinstance(texts, str):
        raise SkillFinderError("give a list of texts, not one text")
    if top_k is not None and (not isinstance(top_k, Integral) or isinstance(top_k, bool) or top_k < 1):
        raise SkillFinderError(f"top_k must be a whole number from 1 on, got {top_k}")
    if not -1.0 <= threshold <= 1.0:
        raise SkillFinderError(f"threshold must be between -1 and 1, got {threshold}")
    if fusion not in ("both", "meaning", "words"):
        raise SkillFinderError(f"fusion must be both, meaning or words, got {fusion!r}")
    for text in texts:
        if not isinstance(text, str):
            raise SkillFinderError(f"a text must be a string, got {type(text).__name__}")
        if len(text) > MAX_CHARS:
            raise SkillFinderError(f"a text of {len(text):,} characters is too long; the limit is {MAX_CHARS:,}")
