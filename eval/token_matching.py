"""Token vectors of sentences and one vector a label -> ConTeXT-match's token-level scores.

Training writes the loss it used into training_record.json; a model trained with `token_match` is scored this way, one
trained with `token_and_cosine` by this score and the plain cosine, each by its share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dataset_builder.contract import StageError
from eval.label_space import SkillNames
from eval.ranking import Floats, lengths_of

_LABELS_AT_ONCE = 65_536


class TokenMatchingSystem:
    """Ranks labels by token-level matching.

    Args:
        name: as tables show it.
        encode_tokens: sentences -> one (tokens, d) array a sentence, padding left out.
        encode_labels: labels -> (labels, d), as the model pools them, not normalised.
        encode_sentences: sentences -> (sentences, d), for the plain cosine; needed where `share` is below 1.
        share: of the token-level score in what ranks, above 0; the rest is the plain cosine.
    """

    def __init__(
        self,
        name: str,
        encode_tokens: Callable[[list[str]], list[Floats]],
        encode_labels: Callable[[list[str]], Floats],
        encode_sentences: Callable[[list[str]], Floats] | None = None,
        share: float = 1.0,
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}")
        if share < 1 and encode_sentences is None:
            raise ValueError(f"a share of {share} needs encode_sentences for the rest")
        self.name = name
        self._encode_tokens = encode_tokens
        self._encode_labels = encode_labels
        self._encode_sentences = encode_sentences
        self._share = share
        self._labels: Floats | None = None
        self._lengths: Floats | None = None

    def index(self, names: SkillNames) -> None:
        """Encode every label once."""
        self._labels = self._encode_labels(list(names.labels))
        self._lengths = lengths_of(self._labels)

    def scores(self, sentences: Sequence[str]) -> Floats:
        """(sentences, labels), each from -1 to 1.

        Raises:
            StageError: the model gives tokens other vectors than texts, as with a module that changes dimensions.
        """
        if self._labels is None or self._lengths is None:
            raise RuntimeError("index the label space before scoring")
        found = self._encode_tokens(list(sentences))
        sizes = {vectors.shape[-1] for vectors in found} | {self._labels.shape[1]}
        if len(sizes) > 1:
            problem = (
                f"{self.name} gives tokens and texts vectors of different sizes ({', '.join(map(str, sorted(sizes)))})"
            )
            raise StageError(problem, "Give --score cosine")
        scores = np.stack([token_matching_scores(tokens, self._labels, self._lengths) for tokens in found])
        if self._encode_sentences is None or self._share == 1:
            return scores
        vectors = self._encode_sentences(list(sentences))
        cosines = vectors @ self._labels.T / (lengths_of(vectors)[:, None] * self._lengths)
        return np.asarray(self._share * scores + (1 - self._share) * cosines, dtype=np.float32)


def token_matching_scores(tokens: Floats, labels: Floats, label_lengths: Floats | None = None) -> Floats:
    """Score of one sentence with every label.

    With h_1..h_L the sentence's token vectors and s a label's vector: a = softmax over i of <h_i, s>, and
    score = sum over i of a_i cos(h_i, s) (ConTeXT-match; both products unnormalised inside the softmax).

    Args:
        tokens: (L, d).
        labels: (labels, d).
        label_lengths: (labels,) as `lengths_of` gives them, where they are known already.

    Returns:
        (labels,) float32.
    """
    token_lengths = lengths_of(tokens)[:, None]
    lengths = lengths_of(labels) if label_lengths is None else label_lengths
    scores = np.empty(len(labels), dtype=np.float32)
    for start in range(0, len(labels), _LABELS_AT_ONCE):
        block = labels[start : start + _LABELS_AT_ONCE]
        products = tokens @ block.T
        attention = np.exp(products - products.max(axis=0))
        attention /= attention.sum(axis=0)
        cosines = products / (token_lengths * lengths[start : start + len(block)])
        scores[start : start + len(block)] = (attention * cosines).sum(axis=0)
    return scores
