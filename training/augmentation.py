"""A training pair at an epoch -> its text as trained on: joined with others and roughened as real ads are.

What happens to a pair is drawn from (seed, epoch, position) alone, so it differs in every epoch and is the same again
after a resume, with any number of processes and workers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.pair_sources import TrainingPair
from training.recipe import Augmentation

BULLETS = ("* ", "* • ", "• ", "- ", "· ")
HEADINGS = (
    "Requirements",
    "Qualifications",
    "Responsibilities",
    "Skills",
    "Your profile",
    "What you bring",
    "Description",
)
EMPLOYERS = re.compile(
    r"\b(?:our (?:company|organi[sz]ation|firm|team|client)|the (?:company|organi[sz]ation|firm))\b", re.I
)
# A capitalised word inside a sentence is most often a name; acronyms are most often skills and stay.
NAMES = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})*\b")
CAPITALISED = re.compile(r"\b[A-Z][a-z]{2,}\b")
MASKS = ("<ORGANIZATION>", "<LOCATION>", "<NAME>")
# Not a point within a word, as in Node.js or 3.5.
PUNCTUATION = re.compile(r"([,;:!?()]|\.(?=\s|$))")


@dataclass(frozen=True)
class AugmentedText:
    """A text as trained on.

    `joined_skills` are the ids of the skills that the joined sentences ask for.
    """

    text: str
    joined_skills: tuple[int, ...]


class Augmenter:
    """Augments the pairs of one stage.

    Args:
        augmentation: what to do, and how often.
        pairs: the stage's pairs; joined sentences are drawn from the sentences among them.
        seed: the run's.
        skill_names: words that `mask_names` leaves alone, as `words_of_skills` gives them.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        pairs: Sequence[TrainingPair],
        seed: int,
        skill_names: frozenset[str] = frozenset(),
    ) -> None:
        self.augmentation = augmentation
        self.pairs = pairs
        self.seed = seed
        self.skill_names = skill_names
        self._sentences = [position for position, pair in enumerate(pairs) if self._is_augmented(pair)]

    def apply(self, epoch: int, position: int) -> AugmentedText:
        """Text of the pair at `position` in `epoch`; labels, and definitions unless asked for, stay as they are."""
        pair = self.pairs[position]
        if not self._is_augmented(pair):
            return AugmentedText(pair.text, ())
        draw = random.Random(f"{self.seed}:{epoch}:{position}")
        partners = self._partners(draw, position)
        side = self.augmentation.join_side
        before = side == "before" or (side == "either" and draw.random() < 0.5)
        order = [*partners, pair] if before else [pair, *partners]
        text = " ".join(self._roughened(one.text, draw) for one in order)
        joined = dict.fromkeys(skill for partner in partners for skill in partner.skills)
        return AugmentedText(self._dressed(text, draw), tuple(joined))

    def _is_augmented(self, pair: TrainingPair) -> bool:
        return pair.is_sentence or (self.augmentation.definitions and pair.source == "descriptions")

    def _partners(self, draw: random.Random, position: int) -> list[TrainingPair]:
        if draw.random() >= self.augmentation.join or len(self._sentences) < 2:
            return []
        chosen = (draw.choice(self._sentences) for _ in range(self.augmentation.join_partners))
        return [self.pairs[other] for other in chosen if other != position]

    def _roughened(self, text: str, draw: random.Random) -> str:
        """What happens to each sentence by itself."""
        if draw.random() < self.augmentation.mask_names:
            text = mask_names(text, draw, self.skill_names)
        if draw.random() < self.augmentation.formatting:
            text = draw.choice((drop_full_stop, drop_commas, add_heading))(text, draw)
        return text

    def _dressed(self, text: str, draw: random.Random) -> str:
        """What happens to the whole text."""
        if draw.random() < self.augmentation.lowercase:
            text = text.lower()
        if draw.random() < self.augmentation.split_punctuation:
            text = split_punctuation(text)
        if draw.random() < self.augmentation.bullet:
            text = draw.choice(BULLETS) + text
        return text


def words_of_skills(labels: Iterable[str]) -> frozenset[str]:
    """Words with a capital in labels: ESCO writes nothing large but names, such as Python or Welsh."""
    return frozenset(word for label in labels for word in CAPITALISED.findall(label))


def mask_names(text: str, draw: random.Random, skill_names: frozenset[str] = frozenset()) -> str:
    """Put masks such as `<ORGANIZATION>` where a name probably stands that no skill has."""
    masked = EMPLOYERS.sub(MASKS[0], text)
    for name in NAMES.finditer(masked):
        if skill_names.isdisjoint(name[0].split()):
            return f"{masked[: name.start()]}{draw.choice(MASKS)}{masked[name.end() :]}"
    return masked


def drop_full_stop(text: str, draw: random.Random) -> str:
    """Leave out the full stop at the end, as bullets do."""
    return text.rstrip(" .;")


def drop_commas(text: str, draw: random.Random) -> str:
    """Leave out commas and semicolons: TECH and HOUSE have none."""
    return re.sub(r"[,;]\s*", " ", text)


def add_heading(text: str, draw: random.Random) -> str:
    """Put a section's heading in front, as text taken from a page has it."""
    return f"{draw.choice(HEADINGS)}{draw.choice((' ', ': '))}{text}"


def split_punctuation(text: str) -> str:
    """Put spaces around punctuation, as tokenised text has them."""
    return " ".join(PUNCTUATION.sub(r" \1 ", text).split())
