"""What an ablation is measured on beside TECH and HOUSE: sentences that nobody trained or chose on."""

from __future__ import annotations

from collections.abc import Sequence

from dataset_builder.benchmark_files import GoldSentence, text_key
from dataset_builder.contract import StageError
from training.ablation_grid import FOLDS_HELD_OUT
from training.label_space import LabelSpace
from training.pairs import hidden_skills
from training.recipe import Recipe
from training.skillskape import read_skillskape
from training.validation import Benchmark

UNSEEN = "skillskape_dev"


def unseen_benchmark(place: str, labels: LabelSpace, recipe: Recipe) -> Benchmark:
    """SkillSkape's dev split as a benchmark that nobody trained or chose on.

    Raises:
        StageError: the recipe trains on SkillSkape.
    """
    if recipe.needs("skillskape"):
        raise StageError("SkillSkape's dev split says nothing about a model trained on SkillSkape")
    queries: dict[str, GoldSentence] = {}
    for sentence, skills in read_skillskape(place):
        known = labels.ids_of(skills)
        if known:
            before = queries[text_key(sentence)].labels if text_key(sentence) in queries else ()
            gold = dict.fromkeys([*before, *(labels.labels[skill] for skill in known)])
            queries[text_key(sentence)] = GoldSentence(sentence, tuple(gold))
    return Benchmark(UNSEEN, tuple(queries.values()))


def about_held_out(queries: Sequence[GoldSentence], labels: LabelSpace) -> tuple[GoldSentence, ...]:
    """The sentences that ask for a skill of the folds held out, with these skills alone as gold."""
    hidden = {labels.labels[skill] for skill in hidden_skills(labels, FOLDS_HELD_OUT)}
    kept = (GoldSentence(one.sentence, tuple(label for label in one.labels if label in hidden)) for one in queries)
    return tuple(one for one in kept if one.labels)
