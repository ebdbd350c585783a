from collections import Counter

import pytest
import torch

from tests.tiny_encoder import tiny_esco
from training.augmentation import (
    BULLETS,
    HEADINGS,
    Augmenter,
    add_heading,
    drop_commas,
    drop_full_stop,
    mask_names,
    split_punctuation,
    words_of_skills,
)
from training.batches import EpochBatches, PairCollator, StageExamples
from training.callbacks import marks
from training.label_space import label_space_of_esco
from training.neighbours import siblings
from training.pair_sources import TrainingPair
from training.recipe import Augmentation

LABELS = label_space_of_esco(tiny_esco())
PAIRS = tuple(TrainingPair(f"Sentence {number}.", number, (number,), "synthetic") for number in range(24))


class FixedDraw:
    """A source of chance that always takes the first."""

    def choice(self, values):
        return values[0]


def test_every_epoch_is_another_order_of_the_same_pairs():
    batches = EpochBatches(10, 3, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        epochs.append([index for batch in batches for index in batch])
    assert all(sorted(position for _, position in order) == list(range(10)) for order in epochs)
    assert {epoch for epoch, _ in epochs[1]} == {1}
    assert epochs[0] == epochs[2]
    assert [position for _, position in epochs[0]] != [position for _, position in epochs[1]]


def test_batches_of_other_seeds_differ():
    assert list(EpochBatches(10, 3, seed=1)) != list(EpochBatches(10, 3, seed=2))


def test_incomplete_batches():
    """10 pairs in batches of 3: three whole ones and one of a single pair."""
    assert [len(batch) for batch in EpochBatches(10, 3, seed=1)] == [3, 3, 3, 1]
    assert [len(batch) for batch in EpochBatches(10, 3, seed=1, drop_last=True)] == [3, 3, 3]
    assert (len(EpochBatches(10, 3, 1)), len(EpochBatches(10, 3, 1, drop_last=True))) == (4, 3)


def test_joining_puts_another_sentence_before_or_after():
    augmenter = Augmenter(Augmentation(join=1.0), PAIRS, seed=1)
    sides = Counter()
    for position in range(24):
        text = augmenter.apply(0, position).text
        own = f"Sentence {position}."
        assert own in text
        if text != own:
            sides["before" if text.endswith(own) else "after"] += 1
            (other,) = augmenter.apply(0, position).joined_skills
            assert f"Sentence {other}." in text
    assert sides["before"] > 3
    assert sides["after"] > 3


@pytest.mark.parametrize("side", ["before", "after"])
def test_the_side_can_be_chosen(side: str):
    augmenter = Augmenter(Augmentation(join=1.0, join_side=side, join_partners=2), PAIRS, seed=1)
    texts = [augmenter.apply(0, position).text for position in range(24)]
    ends = [
        text.endswith(pair.text) if side == "before" else text.startswith(pair.text)
        for text, pair in zip(texts, PAIRS, strict=True)
    ]
    assert all(ends)
    assert max(text.count("Sentence") for text in texts) == 3


def test_joining_is_as_frequent_as_asked():
    """With 0.25, of 24 pairs in 50 epochs 300 are expected; 6 standard deviations (15 each) is 90."""
    augmenter = Augmenter(Augmentation(join=0.25), PAIRS, seed=1)
    joined = sum(bool(augmenter.apply(epoch, position).joined_skills) for epoch in range(50) for position in range(24))
    assert 210 < joined < 390


def test_augmentation_is_seeded_and_new_in_every_epoch():
    rough = Augmentation(join=0.5, bullet=0.5, formatting=0.5)

    def drawn(seed: int, epoch: int) -> list[str]:
        return [Augmenter(rough, PAIRS, seed).apply(epoch, position).text for position in range(24)]

    assert drawn(1, 0) == drawn(1, 0)
    assert drawn(1, 0) != drawn(1, 1)
    assert drawn(1, 0) != drawn(2, 0)


def test_definitions_and_labels_stay_and_are_never_joined():
    pairs = (TrainingPair("A definition.", 0, (0,), "descriptions"), TrainingPair("One.", 1, (1,), "synthetic"))
    everything = Augmentation(
        join=1.0, bullet=1.0, formatting=1.0, lowercase=1.0, split_punctuation=1.0, mask_names=1.0
    )
    augmenter = Augmenter(everything, (*pairs, TrainingPair("Two.", 2, (2,), "skillskape")), seed=1)
    for epoch in range(20):
        assert augmenter.apply(epoch, 0).text == "A definition."
        assert "definition" not in augmenter.apply(epoch, 1).text.lower()


def test_definitions_are_sentences_when_asked_for():
    pairs = (TrainingPair("A definition.", 0, (0,), "descriptions"), TrainingPair("One.", 1, (1,), "synthetic"))
    augmenter = Augmenter(Augmentation(join=1.0, definitions=True), pairs, seed=1)
    drawn = [augmenter.apply(epoch, 0) for epoch in range(20)]
    assert {one.text for one in drawn} >= {"A definition. One.", "One. A definition."}
    assert {one.joined_skills for one in drawn} == {(1,), ()}  # a sentence is not joined with itself


def test_each_roughness_by_itself():
    draw = FixedDraw()
    assert drop_full_stop("Bake bread.", draw) == "Bake bread"
    assert drop_commas("Bread, cake; and buns", draw) == "Bread cake and buns"
    assert add_heading("Bake bread", draw) == f"{HEADINGS[0]} Bake bread"
    assert split_punctuation("Bread, cake (and Node.js).") == "Bread , cake ( and Node.js ) ."
    assert mask_names("Join our company in Berlin for Java", draw) == "Join <ORGANIZATION> in <ORGANIZATION> for Java"
    assert mask_names("Knowledge of SQL", draw) == "Knowledge of SQL"
    skills = words_of_skills(["Python (computer programming)", "speak Welsh", "bake bread", "SQL"])
    assert skills == {"Python", "Welsh"}
    assert mask_names("You know Python in Berlin", draw, skills) == "You know Python in <ORGANIZATION>"
    assert mask_names("You speak Welsh", draw, skills) == "You speak Welsh"
    kept = Augmenter(Augmentation(mask_names=1.0), [TrainingPair("In Python", 0, (0,), "synthetic")], 1, skills)
    assert kept.apply(0, 0).text == "In Python"
    bulleted = Augmenter(Augmentation(bullet=1.0), PAIRS, 1).apply(0, 3).text
    assert bulleted.endswith("Sentence 3.")
    assert bulleted.startswith(BULLETS)
    assert Augmenter(Augmentation(lowercase=1.0), PAIRS, 1).apply(0, 3).text == "sentence 3."


def test_joined_skills_are_ignored_known_or_negatives():
    """Masked: neither positive nor negative. As positives: known. Neither asked for: negatives like any other."""

    def example(mask: bool, positives: bool):
        augmentation = Augmentation(join=1.0, joined_labels_are_positives=positives)
        examples = StageExamples(Augmenter(augmentation, PAIRS, seed=1), mask_joined=mask)
        found = [examples[0, position] for position in range(24)]
        return next(one for one in found if one.text != f"Sentence {one.skill}.")

    masked, positive, open_ = example(True, False), example(True, True), example(False, False)
    assert (len(masked.known), len(masked.near)) == (0, 1)
    assert (len(positive.known), len(positive.near)) == (1, 0)
    assert (open_.known, open_.near) == ((), ())
    assert positive.known == masked.near


def test_linked_skills_of_all_asked_skills_are_ignored():
    pairs = (TrainingPair("Both.", 0, (0, 1), "co_mentions"),)
    examples = StageExamples(Augmenter(Augmentation(), pairs, 1), near={0: (5, 1), 1: (6, 0)})
    example = examples[0, 0]
    assert (example.skill, example.known, set(example.near)) == (0, (1,), {5, 6})


def test_hard_negatives_are_told_what_else_a_text_asks_for():
    """Skills of the pair itself, and of a joined sentence where these are positives."""
    both = TrainingPair("Both.", 0, (0, 1), "co_mentions")
    told = []

    def negatives(epoch, position, skill, known):
        told.append((skill, known))
        return (5,)

    rough = Augmentation(join=1.0, joined_labels_are_positives=True)
    for pairs, augmentation in (((both,), Augmentation()), ((both, PAIRS[7]), rough)):
        assert StageExamples(Augmenter(augmentation, pairs, 1), negatives=negatives)[0, 0].negatives == (5,)
    assert told[0] == (0, (1,))
    assert told[1][0] == 0
    assert set(told[1][1]) == {1, 7}


def test_a_batch_is_sorted_by_length_and_stays_aligned():
    def preprocess(texts):
        return {"input_ids": torch.tensor([[len(text)] for text in texts])}

    pairs = tuple(TrainingPair("x" * (30 - number), number, (number,), "synthetic") for number in range(4))
    examples = StageExamples(
        Augmenter(Augmentation(), pairs, 1), negatives=lambda epoch, position, skill, known: (skill + 4,)
    )
    batch = PairCollator(preprocess, LABELS)([examples[0, position] for position in range(4)])
    assert batch["anchor_input_ids"].flatten().tolist() == [27, 28, 29, 30]
    assert batch["label"].tolist() == [[3, 7], [2, 6], [1, 5], [0, 4]]
    assert batch["positive_input_ids"].flatten().tolist() == [len(LABELS.labels[skill]) for skill in (3, 2, 1, 0)]
    assert batch["negative_1_input_ids"].flatten().tolist() == [len(LABELS.labels[skill]) for skill in (7, 6, 5, 4)]
    assert [name.rsplit("_", 2)[0] for name in batch if name != "label"] == ["anchor", "positive", "negative_1"]


def test_siblings_share_a_group():
    """12 skills a group: each has the 11 others."""
    found = siblings(tiny_esco(), LABELS)
    assert len(found) == 24
    assert set(found[0]) == set(range(1, 12))


@pytest.mark.parametrize("steps", range(1, 8))
@pytest.mark.parametrize("count", range(9))
def test_the_last_step_is_measured_whatever_the_numbers(steps: int, count: int):
    """`count` steps, or all where there are fewer; without the last one, its weights could not be kept."""
    found = marks(steps, count)
    assert len(found) == min(count, steps)
    assert found <= set(range(1, steps + 1))
    assert not found or max(found) == steps
