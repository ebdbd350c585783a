"""An encoder -> a table of one vector a token: no transformer at all, hundreds of times faster, less exact.

The way of model2vec (Tulkens and van Dongen 2024, github.com/MinishLab/model2vec): every token of the vocabulary is
encoded by itself, the vectors are reduced by PCA, and frequent tokens count less (SIF: Arora et al. 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from dataset_builder.contract import StageError
from training.base_model import need_mean_pooling

BATCH = 1024
SIF = 1e-4


def distil(encoder: Any, dimensions: int = 256) -> Any:
    """A SentenceTransformer of one StaticEmbedding, distilled from `encoder`.

    Args:
        encoder: a SentenceTransformer over a transformer.
        dimensions: of the table; at most the encoder's own.

    Raises:
        StageError: the encoder has no transformer.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    if getattr(encoder[0], "auto_model", None) is None:
        raise StageError("only a model with a transformer can be distilled into a static one")
    need_mean_pooling(encoder)
    # A copy: the encoder goes on cutting and padding with its own.
    tokenizer = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    vectors = token_vectors(encoder, tokenizer.get_vocab_size())
    table = sif_weights(len(vectors))[:, None] * principal(vectors, min(dimensions, vectors.shape[1]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=table.astype(np.float32))], device="cpu"
    )


def token_vectors(encoder: Any, size: int) -> np.ndarray:
    """Mean-pooled vector of every token between the first and last special token: (tokens, dimensions)."""
    wrapped = encoder.preprocess(["a"])["input_ids"][0].tolist()
    first, last = wrapped[0], wrapped[-1]
    rows = []
    with torch.inference_mode():
        for start in range(0, size, BATCH):
            ids = torch.tensor([[first, token, last] for token in range(start, min(start + BATCH, size))])
            hidden = encoder[0].auto_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            rows.append(hidden.mean(dim=1).float().numpy())
    return np.concatenate(rows)


def principal(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """The vectors on their first principal components: (tokens, dimensions)."""
    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    projected: np.ndarray = centred @ axes[:, np.argsort(-values)[:dimensions]]
    return projected


def sif_weights(size: int) -> np.ndarray:
    """Weight of each token: a / (a + p), with p by Zipf's law from its place in the vocabulary, most frequent first."""
    ranks = 1 / np.arange(1, size + 1)
    weights: np.ndarray = SIF / (SIF + ranks / ranks.sum())
    return weights
