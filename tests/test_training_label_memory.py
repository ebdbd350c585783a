"""All labels as remembered negatives: which of them count, and when they are embedded again."""

import pytest
import torch

from dataset_builder.contract import StageError
from tests.test_training_losses import LABELS, SENTENCES, features, ids, slow_ranking_loss
from tests.tiny_encoder import write_tiny_encoder
from training.base_model import open_encoder
from training.batches import PAD, ignored
from training.label_memory import LabelMemory, no_negatives
from training.losses import make_loss
from training.recipe import Loss

SPACE = [*LABELS, "carve wood", "blow glass", "bake bread", "audit tax"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory):
    return open_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder"), dropout=0.1))


def memory(encoder, every: int = 2) -> LabelMemory:
    return LabelMemory(encoder, lambda texts: dict(encoder.preprocess(texts)), SPACE, every, never={6})


def test_labels_come_in_their_own_order_and_without_dropout(encoder):
    encoder.train()
    found = memory(encoder).embeddings()
    assert encoder.training
    assert not found.requires_grad
    encoder.eval()
    assert torch.allclose(found, torch.tensor(encoder.encode(SPACE)), atol=1e-5)


def test_they_are_embedded_again_after_so_many_uses_or_when_forgotten(encoder, monkeypatch):
    kept = memory(encoder, every=2)
    made = []
    monkeypatch.setattr(kept, "_embed", lambda: made.append(1) or torch.zeros(len(SPACE), 4))
    counts = []
    for _ in range(5):
        kept.embeddings()
        counts.append(len(made))
    kept.forget()
    kept.embeddings()
    assert (counts, len(made)) == ([1, 1, 2, 2, 3], 4)


def test_what_is_no_negative_by_hand():
    """Anchor 0 has skill 4, hard negative 0, knows 2 and ignores 5; anchor 1 has 1 and hard negative 6. So 4, 0, 1 and
    6 stand in the batch for both; 2 and 5 are left out for anchor 0 alone."""
    left_out = no_negatives(ids([[4, 0, 2, ignored(5)], [1, 6, PAD, PAD]]), negatives=1, skills=8)
    assert [row.nonzero().flatten().tolist() for row in left_out] == [[0, 1, 2, 4, 5, 6], [0, 1, 4, 6]]


def test_the_loss_is_the_slow_one(encoder):
    """Four anchors with skills 0 to 3; anchor 1 asks for 5 as well. Beside the batch, 4 and 7 are negatives of all, 5
    of all but anchor 1, and 6 of none: it repeats label 0."""
    encoder.eval()
    rows = ids([[0, PAD], [1, 5], [2, PAD], [3, PAD]])
    loss = make_loss(encoder, Loss("masked_mnrl", label_memory=2), memory=memory(encoder))
    sentences, labels = (torch.tensor(encoder.encode(texts, normalize_embeddings=True)) for texts in (SENTENCES, SPACE))
    scores = 20 * sentences @ torch.cat([labels[:4], labels]).T
    positive = [[a == b for b in range(12)] for a in range(4)]
    out = {4, 5, 6, 7, 10}
    dropped = [[b in out or (a == 1 and b == 9) for b in range(12)] for a in range(4)]
    slow = slow_ranking_loss(scores.tolist(), [0, 1, 2, 3], positive, dropped, False)
    got = loss(features(encoder, SENTENCES, LABELS), rows)
    assert got.item() == pytest.approx(slow, rel=1e-4)
    without = make_loss(encoder, Loss("masked_mnrl"))(features(encoder, SENTENCES, LABELS), rows)
    assert got > without
    got.backward()
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in encoder.parameters())


@pytest.mark.parametrize(
    "values", [{"name": "mnrl", "label_memory": 5}, {"name": "masked_mnrl", "label_memory": -1}], ids=str
)
def test_what_cannot_be(values):
    with pytest.raises(StageError, match="label_memory"):
        Loss(**values)
