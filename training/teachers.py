"""The teachers of training.pseudo_labels: models, or what models said before; several label a text where all agree.

To trust what models trained apart agree on is the idea of tri-training (Zhou and Li 2005, IEEE Transactions on
Knowledge and Data Engineering 17(11)), here with a bound on each score. What it was worth is in README.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataset_builder.contract import StageError, sha256_of_lines
from dataset_builder.esco import EscoRelease
from training.base_model import find_base_model
from training.kept_labels import UNKNOWN, KeptLabels, Labeller, Notes, are_kept_labels
from training.label_space import label_space_of_esco
from training.run_record import ModelSource
from training.teacher import Teacher


class Teachers:
    """One teacher, or several as one.

    Args:
        places: of each a folder, a Hub id, or a file of kept labels.
        esco: the labels to choose from.

    Raises:
        StageError: a place that cannot be opened, kept labels of another label space, or the same model twice.
    """

    def __init__(self, places: Sequence[str], esco: EscoRelease) -> None:
        self._opened = [_open(place, esco) for place in places]
        sources = [notes.teacher for notes in self._opened]
        if len({one.weights_sha256 for one in sources}) < len(sources):
            raise StageError("a teacher is given twice", "Teachers that are to agree must be different models")
        self.sources: tuple[ModelSource, ...] = tuple(sources)

    @property
    def source(self) -> ModelSource:
        """The teacher; of several, their names and the hash of their hashes."""
        if len(self.sources) == 1:
            return self.sources[0]
        names = " and ".join(one.id if one.revision is None else f"{one.id}@{one.revision}" for one in self.sources)
        hashes = [one.weights_sha256 for one in self.sources]
        return ModelSource(id=names, revision=None, weights_sha256=sha256_of_lines(hashes))

    def nearest(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """(preferred label, score) of each text's nearest label; of several teachers see `agree`."""
        return agree([notes.nearest(texts) for notes in self._opened])

    def told(self) -> tuple[int, int]:
        """How many texts a teacher knows nothing of, the worst of several, and how many there were."""
        return max(notes.told() for notes in self._opened)

    def save(self, path: str) -> None:
        """Keep what the one teacher said, for KeptLabels."""
        (notes,) = self._opened
        notes.save(path)


def agree(said: Sequence[Sequence[tuple[str, float]]]) -> list[tuple[str, float]]:
    """What several teachers say of the same texts -> the label of each that all give, with the least of their scores.

    A text that they do not agree on has the score UNKNOWN, below any bound.
    """
    found = []
    for answers in zip(*said, strict=True):
        label = answers[0][0]
        least = min(score for _, score in answers)
        found.append((label, least if all(other == label for other, _ in answers) else UNKNOWN))
    return found


def _open(place: str, esco: EscoRelease) -> Notes:
    """A model, or what one said before; either notes down what it says now."""
    labels = label_space_of_esco(esco)
    if are_kept_labels(place):
        kept = KeptLabels(place, labels)
        return Notes(kept, labels, kept.teacher)
    base = find_base_model(place)
    teacher: Labeller = Teacher(base.folder, esco)
    return Notes(teacher, labels, base.source)
