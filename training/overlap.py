"""Real texts and a folder of benchmarks -> which of the texts give a benchmark's sentence away.

Ads repeat each other: a line of a test set stands in other ads as it is, with a word changed, or in the midst of a text
that nobody split into sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataset_builder.benchmark_files import text_key
from dataset_builder.benchmark_overlap import benchmark_sentences, copies_of, is_long_enough


def give_away(texts: Sequence[str], benchmarks: str | Path) -> list[bool]:
    """Whether each text equals, nearly equals or holds a sentence of any benchmark file in the folder.

    Of sentences of a few words only copies count: "good communication skills" stands everywhere.

    Raises:
        StageError: no benchmark there.
    """
    sentences = benchmark_sentences(benchmarks)
    long_enough = [text_key(sentence) for sentence in sentences if is_long_enough(sentence)]
    copies = copies_of(texts, sentences)
    return [
        reason is not None or any(sentence in key for sentence in long_enough)
        for key, reason in zip(map(text_key, texts), copies, strict=True)
    ]
