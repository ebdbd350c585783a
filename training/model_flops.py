"""A transformer and the lengths of its texts -> the operations that training on them takes; a device's matrix rate.

Model FLOPs are what the mathematics asks for, whatever a program pads, computes twice or waits for. Their share of the
device's own matrix rate says how much of it a training uses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.machine import on_cpu

SIZES = (512, 1024, 2048, 4096, 8192)
ROUNDS = 5
LONG_S = 0.05  # a product that takes longer is large enough


def transformer_of(encoder: Any) -> Any:
    """The transformer in a SentenceTransformer; None where it has none, as a static model."""
    from transformers import PreTrainedModel

    return next((module for module in encoder.modules() if isinstance(module, PreTrainedModel)), None)


def training_flops(transformer: Any, lengths: Sequence[int]) -> int:
    """Operations of one forward and backward pass over texts of these numbers of tokens.

    With N weights, L layers of width d and texts of l tokens:

        6 N sum(l) + 12 L d sum(l^2)

    The first part is Kaplan et al. 2020 (arXiv 2001.08361, section 2.1): two operations a weight and token forward,
    four backward. The second is attention's products of all tokens with all tokens: Chowdhery et al. 2022 (PaLM, arXiv
    2204.02311, appendix B). N is without embeddings, which multiply nothing, and without a pooler on the first token.
    """
    embeddings = {id(module.weight) for module in transformer.modules() if isinstance(module, nn.Embedding)}
    weights = sum(
        weight.numel()
        for name, weight in transformer.named_parameters()
        if id(weight) not in embeddings and not name.startswith("pooler.")
    )
    layers, width = transformer.config.num_hidden_layers, transformer.config.hidden_size
    return int(6 * weights * sum(lengths) + 12 * layers * width * sum(length**2 for length in lengths))


def matrix_rate() -> float:
    """Operations a second of this device's fastest bf16 product of two square matrices, n x n: 2 n^3 each."""
    device = "cpu" if on_cpu() else "cuda"
    best = 0.0
    for size in SIZES:
        one, two = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
        seconds = min(_product_seconds(one, two) for _ in range(ROUNDS))
        best = max(best, 2 * size**3 / seconds)
        if seconds > LONG_S:
            break
    return best


def _product_seconds(one: Tensor, two: Tensor) -> float:
    _wait_for(one)
    start = time.perf_counter()
    torch.matmul(one, two)
    _wait_for(one)
    return time.perf_counter() - start


def _wait_for(tensor: Tensor) -> None:
    """A GPU computes on while Python goes on."""
    if tensor.is_cuda:
        torch.cuda.synchronize()
