"""Each loss against a slow and obvious implementation, and its gradient against finite differences."""

import math

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim

from dataset_builder.contract import StageError
from tests.tiny_encoder import write_tiny_encoder
from training.base_model import open_encoder
from training.batches import PAD, Example, ignored, skills_tensor
from training.losses import (
    BatchSkills,
    MaskedRankingLoss,
    TokenMatchLoss,
    chunk_outputs,
    make_loss,
    ranking_loss,
    read_skills,
    token_match_scores,
)
from training.recipe import Loss

SENTENCES = ["we need you to bake bread", "weld steel", "you teach law in the team and play music", "to till soil"]
LABELS = ["bake bread", "weld steel", "teach law", "till soil"]
HARD = ["carve wood", "blow glass", "audit tax", "ride horses"]
NO_MASK = Loss(name="masked_mnrl", mask=())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory):
    return open_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder")))


def features(encoder, *columns: list[str]) -> list[dict]:
    return [dict(encoder.preprocess(texts)) for texts in columns]


def ids(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows)


def slow_ranking_loss(scores, own, positive, dropped, several: bool) -> float:
    """One anchor, one positive and one negative at a time, with plain floats."""
    losses = []
    for row, line in enumerate(scores):
        negatives = [
            math.exp(value)
            for column, value in enumerate(line)
            if not positive[row][column] and not dropped[row][column]
        ]
        wanted = [column for column in range(len(line)) if positive[row][column]] if several else [own[row]]
        parts = [-math.log(math.exp(line[one]) / (math.exp(line[one]) + sum(negatives))) for one in wanted]
        losses.append(sum(parts) / len(parts))
    return sum(losses) / len(losses)


def slow_token_match(tokens, mask, labels) -> list[list[float]]:
    """ConTeXT-match's score, one sentence, one label and one token at a time."""
    scores = []
    for sentence, real in zip(tokens.tolist(), mask.tolist(), strict=True):
        line = []
        for label in labels.tolist():
            vectors = [vector for vector, is_token in zip(sentence, real, strict=True) if is_token]
            products = [sum(a * b for a, b in zip(vector, label, strict=True)) for vector in vectors]
            total = sum(math.exp(product) for product in products)
            weights = [math.exp(product) / total for product in products]
            cosines = [
                product / (math.hypot(*vector) * math.hypot(*label))
                for product, vector in zip(products, vectors, strict=True)
            ]
            line.append(sum(weight * cosine for weight, cosine in zip(weights, cosines, strict=True)))
        scores.append(line)
    return scores


def some_skills() -> BatchSkills:
    """Three anchors and six candidates (one hard negative each), with a known and a dropped skill.

    Candidates by column: 5 7 5 (positives), 8 9 7 (hard negatives). Anchor 0 asks for 5 and 9; anchor 1 for 7, and 8 is
    dropped; anchor 2 for 5. So anchor 0 has the positives 0, 2 and 4; anchor 1 has 1 and 5, and 3 dropped; anchor 2 has
    0 and 2.
    """
    return read_skills(ids([[5, 8, 9], [7, 9, ignored(8)], [5, 7, PAD]]), negatives=1)


def test_skills_are_told_apart_by_id():
    skills = some_skills()
    assert skills.own.tolist() == [0, 1, 2]
    assert [row.nonzero().flatten().tolist() for row in skills.positive] == [[0, 2, 4], [1, 5], [0, 2]]
    assert [row.nonzero().flatten().tolist() for row in skills.dropped] == [[], [3], []]


def test_without_the_mask_only_the_own_positive_counts():
    skills = read_skills(ids([[5, 8, 9], [7, 9, ignored(8)], [5, 7, PAD]]), negatives=1, mask_same=False)
    assert [row.nonzero().flatten().tolist() for row in skills.positive] == [[0], [1], [2]]
    assert [row.nonzero().flatten().tolist() for row in skills.dropped] == [[], [3], []]


def test_padding_is_no_skill():
    """PAD is -1 and the code of the dropped skill 0 is -2: neither is an id or the other."""
    skills = read_skills(ids([[0, PAD, PAD], [1, 0, PAD], [2, ignored(0), PAD]]), negatives=0)
    assert skills.positive.int().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert skills.dropped.int().tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_one_positive_by_hand():
    """Scores 2 (own), 1 (negative), 9 (false negative, out): -log(e^2 / (e^2 + e^1)) = log(1 + e^-1) = 0.31326."""
    skills = BatchSkills(torch.tensor([0]), torch.tensor([[True, False, True]]), torch.zeros(1, 3, dtype=torch.bool))
    assert ranking_loss(torch.tensor([[2.0, 1.0, 9.0]]), skills).item() == pytest.approx(math.log1p(math.exp(-1)))


def test_several_positives_by_hand():
    """Positives 2 and 0 against the negative 1: (log(1 + e^-1) + log(1 + e^1)) / 2 = (0.31326 + 1.31326) / 2."""
    skills = BatchSkills(torch.tensor([0]), torch.tensor([[True, False, True]]), torch.zeros(1, 3, dtype=torch.bool))
    loss = ranking_loss(torch.tensor([[2.0, 1.0, 0.0]]), skills, several_positives=True)
    assert loss.item() == pytest.approx((0.3132617 + 1.3132617) / 2)


def test_an_anchor_without_negatives_teaches_nothing():
    """Every candidate is a positive: the loss is log(1) = 0 and its gradient is 0, not NaN."""
    skills = BatchSkills(torch.tensor([0, 1]), torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool))
    for several in (False, True):
        scores = torch.randn(2, 2, requires_grad=True)
        loss = ranking_loss(scores, skills, several)
        loss.backward()
        assert loss.item() == pytest.approx(0.0)
        assert scores.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("several", [False, True])
def test_ranking_loss_is_the_slow_one(several: bool):
    skills, scores = some_skills(), torch.randn(3, 6, generator=torch.Generator().manual_seed(1)) * 3
    slow = slow_ranking_loss(
        scores.tolist(), skills.own.tolist(), skills.positive.tolist(), skills.dropped.tolist(), several
    )
    assert ranking_loss(scores, skills, several).item() == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("several", [False, True])
def test_ranking_loss_gradient(several: bool):
    scores = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: ranking_loss(value, some_skills(), several), scores)


def test_token_match_by_hand():
    """Tokens (1, 0), (0, 1) and padding (9, 9), label (2, 0): products 2 and 0, weights e^2 and 1 over e^2 + 1,
    cosines 1 and 0: score = e^2 / (e^2 + 1) = 0.880797."""
    tokens, mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]]), torch.tensor([[1, 1, 0]])
    assert token_match_scores(tokens, mask, torch.tensor([[2.0, 0.0]])).item() == pytest.approx(0.880797, abs=1e-6)


def test_token_match_is_the_slow_one():
    generator = torch.Generator().manual_seed(2)
    tokens, labels = torch.randn(3, 4, 5, generator=generator), torch.randn(2, 5, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    fast = token_match_scores(tokens, mask, labels)
    assert torch.allclose(fast, torch.tensor(slow_token_match(tokens, mask, labels)), atol=1e-6)


def test_token_match_gradient():
    tokens = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    assert torch.autograd.gradcheck(lambda one, two: token_match_scores(one, mask, two), (tokens, labels))


@pytest.mark.parametrize("columns", [(SENTENCES, LABELS), (SENTENCES, LABELS, HARD)], ids=["pairs", "hard negatives"])
def test_without_masks_it_is_the_library_s(encoder, columns):
    rows = ids([[number, *([number + 9] * (len(columns) - 2))] for number in range(4)])
    ours = MaskedRankingLoss(encoder, NO_MASK)(features(encoder, *columns), rows)
    library = MultipleNegativesRankingLoss(encoder)(features(encoder, *columns), None)
    assert ours.item() == pytest.approx(library.item(), rel=1e-5)


def test_symmetric_without_masks_is_the_library_s(encoder):
    ours = make_loss(encoder, Loss(name="masked_mnrl", mask=(), symmetric=True))
    library = make_loss(encoder, Loss(name="mnrl", symmetric=True))
    rows = ids([[0], [1], [2], [3]])
    batch = [SENTENCES, LABELS]
    assert ours(features(encoder, *batch), rows).item() == pytest.approx(
        library(features(encoder, *batch), None).item(), rel=1e-5
    )


def test_symmetric_drops_false_negatives_both_ways(encoder):
    """Anchors 0 and 2 ask for the same skill: as labels over sentences, neither sentence is a negative of the other.

    Slow: cosines of the four embeddings, times 20, turned for the way back.
    """
    rows = ids([[0], [1], [0], [3]])
    loss = MaskedRankingLoss(encoder, Loss(name="masked_mnrl", symmetric=True))
    sentences, labels = (encoder.encode(texts, normalize_embeddings=True) for texts in (SENTENCES, LABELS))
    scores = torch.tensor(20 * sentences @ labels.T)
    same = [[a == b for b in (0, 1, 0, 3)] for a in (0, 1, 0, 3)]
    none = [[False] * 4] * 4
    slow = [slow_ranking_loss(way.tolist(), [0, 1, 2, 3], same, none, False) for way in (scores, scores.T)]
    assert loss(features(encoder, SENTENCES, LABELS), rows).item() == pytest.approx(sum(slow) / 2, rel=1e-4)


def test_matryoshka_adds_up_the_sizes(encoder):
    """Sizes 32 and 8: the loss is that of the whole embeddings plus that of their first 8 dimensions."""
    rows = ids([[0], [1], [2], [3]])
    loss = MaskedRankingLoss(encoder, Loss(name="masked_mnrl", matryoshka=(32, 8)))
    anchors, labels = (torch.tensor(encoder.encode(texts)) for texts in (SENTENCES, LABELS))
    slow = 0.0
    for size in (32, 8):
        unit = [torch.nn.functional.normalize(part[:, :size], dim=1) for part in (anchors, labels)]
        scores = (20 * unit[0] @ unit[1].T).tolist()
        eye = [[a == b for b in range(4)] for a in range(4)]
        slow += slow_ranking_loss(scores, [0, 1, 2, 3], eye, [[False] * 4] * 4, False)
    assert loss(features(encoder, SENTENCES, LABELS), rows).item() == pytest.approx(slow, rel=1e-4)


def test_token_match_loss_is_the_slow_one(encoder):
    """Anchor 0 also asks for the skill of anchor 3's positive, which is masked."""
    rows = ids([[0, 3], [1, PAD], [2, PAD], [3, PAD]])
    loss = TokenMatchLoss(encoder, Loss(name="token_match"))
    batch = features(encoder, SENTENCES, LABELS)
    with torch.no_grad():
        out = encoder(dict(batch[0]))
        labels = encoder(dict(batch[1]))["sentence_embedding"]
    scores = [
        [20 * s for s in line] for line in slow_token_match(out["token_embeddings"], out["attention_mask"], labels)
    ]
    positive = [[a == b or (a, b) == (0, 3) for b in range(4)] for a in range(4)]
    slow = slow_ranking_loss(scores, [0, 1, 2, 3], positive, [[False] * 4] * 4, False)
    assert loss(batch, rows).item() == pytest.approx(slow, rel=1e-4)


def test_token_and_cosine_is_the_sum_of_both(encoder):
    """By token_match, and by masked_mnrl with the same masks, which the other tests compare with slow ones."""
    rows, batch = ids([[0, 3], [1, PAD], [2, PAD], [3, PAD]]), features(encoder, SENTENCES, LABELS)
    losses = [make_loss(encoder, Loss(name)) for name in ("token_and_cosine", "token_match", "masked_mnrl")]
    both, token, cosine = (loss([dict(column) for column in batch], rows).item() for loss in losses)
    assert both == pytest.approx(token + cosine, rel=1e-5)
    assert min(token, cosine) > 0.01


def gradients(encoder, loss, columns, rows) -> list[torch.Tensor]:
    encoder.zero_grad()
    loss(features(encoder, *columns), rows).backward()
    return [value.grad.clone() for value in encoder.parameters() if value.grad is not None]


class Noted(torch.nn.Module):
    """An encoder that notes down what it returned, dropout and all."""

    def __init__(self, encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.outputs: list[dict] = []

    def forward(self, columns: dict) -> dict:
        self.outputs.append(self.encoder(columns))
        return self.outputs[-1]


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory):
    """An encoder that is being trained: it drops half of its values."""
    return open_encoder(write_tiny_encoder(tmp_path_factory.mktemp("dropping"), dropout=0.5)).train()


@pytest.mark.parametrize("name", ["masked_mnrl", "token_match", "token_and_cosine"])
def test_a_false_negative_is_masked_whatever_dropout_makes_of_it(dropping, name: str):
    """Anchors 0 and 2 ask for one skill, whose label stands in the batch twice, each time with other values dropped.

    By id they are still one: the loss is the slow one over the very embeddings that the encoder made.
    """
    noted = Noted(dropping)
    batch = [SENTENCES[:3], ["bake bread", "weld steel", "bake bread"]]
    loss = make_loss(noted, Loss(name))(features(dropping, *batch), ids([[0], [1], [0]]))
    sentences, labels = noted.outputs
    assert not torch.allclose(labels["sentence_embedding"][0], labels["sentence_embedding"][2], atol=0.1)
    cosines = cos_sim(sentences["sentence_embedding"], labels["sentence_embedding"]).tolist()
    tokens = slow_token_match(sentences["token_embeddings"], sentences["attention_mask"], labels["sentence_embedding"])
    used = {"masked_mnrl": [cosines], "token_match": [tokens], "token_and_cosine": [tokens, cosines]}[name]
    same, none = [[a == b for b in (0, 1, 0)] for a in (0, 1, 0)], [[False] * 3] * 3
    slow = [slow_ranking_loss([[20 * s for s in row] for row in one], [0, 1, 2], same, none, False) for one in used]
    assert loss.item() == pytest.approx(sum(slow), rel=1e-4)


@pytest.mark.parametrize(("mask", "pushed"), [((), True), (("same_skill",), False)])
def test_the_other_copy_of_a_label_is_not_pushed_away(dropping, mask: tuple[str, ...], pushed: bool):
    """Two anchors of one skill, and nothing else: without the mask each pushes away the other's label, with it nothing
    moves, though dropout made two embeddings of that label."""
    noted = Noted(dropping)
    batch = features(dropping, SENTENCES[:2], ["bake bread", "bake bread"])
    loss = MaskedRankingLoss(noted, Loss("masked_mnrl", mask=mask))(batch, ids([[0], [0]]))
    labels = noted.outputs[1]["sentence_embedding"]
    assert not torch.allclose(labels[0], labels[1], atol=0.1)
    (gradient,) = torch.autograd.grad(loss, labels)
    assert bool(gradient.abs().sum() > 1e-3) is pushed
    assert pushed or not gradient.any()


class FixedMemory:
    """Remembered labels that never change: four, of which the last is nobody's negative."""

    never = torch.tensor([False, False, False, True])

    def embeddings(self) -> torch.Tensor:
        return torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("loss", "memory"),
    [
        (Loss("masked_mnrl", symmetric=True), None),
        (Loss("masked_mnrl", matryoshka=(4, 2)), None),
        (Loss("masked_mnrl", several_positives=True), None),
        (Loss("masked_mnrl", label_memory=3), FixedMemory()),
        (Loss("masked_mnrl", symmetric=True, matryoshka=(4, 3), several_positives=True, scale=5.0), None),
    ],
    ids=["symmetric", "matryoshka", "several positives", "label memory", "all together"],
)
def test_gradients_are_those_of_finite_differences(loss: Loss, memory):
    """Three anchors with a hard negative each: two of one skill, a known one, an ignored one."""
    rows = ids([[0, 2, 3, PAD], [1, 3, 2, ignored(0)], [0, 3, 1, PAD]])
    generator = torch.Generator().manual_seed(3)
    columns = [torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(3)]
    module = MaskedRankingLoss(None, loss, memory=memory)
    assert torch.autograd.gradcheck(lambda *embeddings: module.loss_of(list(embeddings), rows), columns)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", ["token_match", "token_and_cosine"])
def test_gradients_by_tokens_are_those_of_finite_differences(name: str, several: bool):
    """Sentences of three and two tokens, two labels and a hard negative each; a sentence is the mean of its tokens."""
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    labels, hard = (torch.randn(2, 4, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    module = TokenMatchLoss(lambda made: made, Loss(name, several_positives=several))

    def loss_of(tokens, labels, hard):
        mean = (tokens * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1)[:, None]
        sentences = {"token_embeddings": tokens, "attention_mask": mask, "sentence_embedding": mean}
        columns = [sentences, {"sentence_embedding": labels}, {"sentence_embedding": hard}]
        return module(columns, ids([[0, 2, 1], [1, 3, PAD]]))

    assert torch.autograd.gradcheck(loss_of, (tokens, labels, hard))


@pytest.mark.parametrize("name", ["mnrl", "masked_mnrl"])
def test_matryoshka_sizes_are_no_larger_than_the_encoder(encoder, name: str):
    """A cut to 999 of 32 dimensions cuts nothing."""
    with pytest.raises(StageError, match=r"matryoshka sizes \[999\] are more than the encoder's 32 dimensions"):
        make_loss(encoder, Loss(name, matryoshka=(999, 32)))


@pytest.mark.parametrize("matryoshka", [(), (32, 8)])
def test_gradient_caching_changes_nothing(encoder, matryoshka):
    rows, columns = ids([[0, 9], [1, 9], [0, 7], [3, 9]]), (SENTENCES, LABELS, HARD)
    whole = gradients(encoder, MaskedRankingLoss(encoder, Loss("masked_mnrl", matryoshka=matryoshka)), columns, rows)
    cached = MaskedRankingLoss(encoder, Loss("masked_mnrl", matryoshka=matryoshka, mini_batch=2))
    parts = gradients(encoder, cached, columns, rows)
    assert len(whole) == len(parts) > 0
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(whole, parts, strict=True))


@pytest.mark.parametrize(
    "loss", [Loss("masked_mnrl"), Loss("token_match"), Loss("token_and_cosine")], ids=lambda loss: loss.name
)
def test_chunks_change_nothing(encoder, loss):
    rows, columns = ids([[0], [1], [2], [3]]), (SENTENCES, LABELS)
    whole = gradients(encoder, make_loss(encoder, loss), columns, rows)
    parts = gradients(encoder, make_loss(encoder, loss, chunk_size=2), columns, rows)
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(whole, parts, strict=True))


def test_chunks_are_cut_to_their_own_longest():
    seen = []

    def model(batch):
        seen.append(tuple(batch["input_ids"].shape))
        return batch

    mask = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]])
    chunk_outputs(model, {"input_ids": mask.clone(), "attention_mask": mask, "modality": "text"}, 2)
    assert seen == [(2, 2), (2, 4)]


@pytest.mark.parametrize(
    "loss",
    [Loss("mnrl"), Loss("mnrl", symmetric=True), Loss("mnrl", mini_batch=2), Loss("mnrl", matryoshka=(32, 8))],
    ids=["plain", "symmetric", "cached", "matryoshka"],
)
def test_the_library_s_losses_run(encoder, loss):
    grads = gradients(encoder, make_loss(encoder, loss), (SENTENCES, LABELS), ids([[0], [1], [2], [3]]))
    assert any(grad.abs().sum() > 0 for grad in grads)


def test_skills_tensor_lays_out_own_negatives_known_and_near():
    rows = [Example("a", 4, (8,), (5, 6), (7,)), Example("b", 1, (2,), (), ())]
    assert skills_tensor(rows).tolist() == [[4, 8, 5, 6, ignored(7)], [1, 2, PAD, PAD, PAD]]
