"""The questions of the ablations, as data: each row is what it changes of one small recipe.

The first row of a question is the one that the others are compared with. Every run sees the same number of pairs: of a
source that holds fewer, each several times, roughened anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from training.recipe import Recipe, recipe_from_dict

BUDGET = 10_000
BATCH = 64
FOLDS_HELD_OUT = (0, 1)
MOST_SENTENCES = 10  # a skill: as many as the paper's dataset has

JOINED = {"join": 1.0}
OURS = {"join": 0.5, "bullet": 0.2, "formatting": 0.2, "mask_names": 0.1, "split_punctuation": 0.2}
MASKED = {"name": "masked_mnrl", "mask": ["same_skill", "joined"]}
PLAIN = {"name": "mnrl"}
SENTENCES: dict[str, Any] = {"synthetic": {}, "co_mentions": {}}
EXPLICIT_STYLES = ["requirement", "duty", "bullet", "tools", "explicit", "sentence"]


@dataclass(frozen=True)
class Row:
    """One training: `stages` are the changes of each stage; `needs` names inputs that must be given.

    `dataset` names the input whose pairs are trained on.
    """

    question: str
    name: str
    what: str
    stages: tuple[dict[str, Any], ...]
    needs: tuple[str, ...] = ()
    dataset: str = "dataset"
    recipe: dict[str, Any] = field(default_factory=dict)


def _one(question: str, name: str, what: str, **more: Any) -> Row:
    """A row of one stage; what is no field of Row changes the stage."""
    fields = {key: more.pop(key) for key in ("needs", "dataset", "recipe") if key in more}
    return Row(question, name, what, (more,), **fields)


def _sentence_count(count: int) -> Row:
    # The same skills in every row, so many that with the most sentences each is seen once.
    skills, weight = BUDGET // MOST_SENTENCES, MOST_SENTENCES / count
    source = {"at_least": MOST_SENTENCES, "skills": skills, "per_skill": count, "weight": weight}
    what = f"{count} sentence(s) a skill, each seen {weight:.3g} time(s); {skills:,} skills that have {MOST_SENTENCES}"
    return _one("sentence_count", f"{count}_a_skill", what, sources={"synthetic": source})


MIXED: dict[str, Any] = {**SENTENCES, "descriptions": {}, "alternative_labels": {"per_skill": 2}}
DEFINED: dict[str, Any] = {"sources": {**SENTENCES, "descriptions": {}}, "augmentation": OURS}

GRID: tuple[Row, ...] = (
    _one("augmentation", "none", "sentences as they are", augmentation={}),
    _one("augmentation", "joined", "another sentence joined, as in the paper", augmentation=JOINED),
    _one("augmentation", "ours", "joined in half of the cases; bullets, headings, masks", augmentation=OURS),
    _one("definitions", "as_they_are", "descriptions and sentences, and only these joined and roughened", **DEFINED),
    _one(
        "definitions",
        "as_sentences",
        "descriptions are joined and roughened as sentences are",
        **{**DEFINED, "augmentation": {**OURS, "definitions": True}},
    ),
    _one("sources", "synthetic", "the LLM's sentences alone", sources=SENTENCES),
    _one(
        "sources",
        "literal_matches",
        "real sentences that hold a label word for word (distant supervision)",
        sources={"literal_matches": {}},
        needs=("sentences",),
    ),
    _one("sources", "descriptions", "ESCO descriptions alone", sources={"descriptions": {}}),
    _one("sources", "alternative_labels", "ESCO alternative labels alone", sources={"alternative_labels": {}}),
    _one("sources", "synthetic_descriptions", "sentences and descriptions", sources={**SENTENCES, "descriptions": {}}),
    _one("sources", "mixed", "sentences, descriptions, two alternative labels a skill", sources=MIXED),
    _one("sources", "skill_lists", "lines that list names of one occupation's skills", sources={"skill_lists": {}}),
    _one(
        "sources",
        "mixed_lists",
        "sentences, descriptions, an alternative label a skill, lists of names",
        sources={**SENTENCES, "descriptions": {}, "alternative_labels": {"per_skill": 1}, "skill_lists": {}},
    ),
    *(_sentence_count(count) for count in (MOST_SENTENCES, 5, 3, 1)),
    _one("style", "all", "every style of sentence", sources={"synthetic": {}}),
    _one("style", "explicit", "every style but implicit", sources={"synthetic": {"styles": EXPLICIT_STYLES}}),
    _one("style", "implicit", "sentences that do not name the skill", sources={"synthetic": {"styles": ["implicit"]}}),
    _one("filters", "filtered", "sentences that passed the quality gates"),
    _one("filters", "unfiltered", "all sentences", dataset="unfiltered", needs=("unfiltered",)),
    _one("round_trip", "all", "every sentence of the LLM", sources={"synthetic": {}}),
    _one(
        "round_trip",
        "nearest_10",
        "sentences whose skill is among the 10 nearest by the base model",
        sources={"synthetic": {"round_trip": 10}},
    ),
    _one("masks", "masked", "same skill and joined skills are no negatives", loss=MASKED),
    _one("masks", "not_masked", "every other label of the batch is a negative", loss=PLAIN),
    _one(
        "masks",
        "linked_and_near",
        "skills linked in ESCO, or too near by the base model, are none either",
        loss={**MASKED, "mask": ["same_skill", "joined", "linked", "near"]},
    ),
    _one("negatives", "in_batch", "the batch's labels"),
    _one("negatives", "hierarchy", "and one sibling in ESCO", negatives={"kind": "hierarchy", "count": 1}),
    _one("negatives", "mined", "and one near label", negatives={"kind": "mined", "count": 1, "skip_nearest": 5}),
    _one("negatives", "all_labels", "and every label, remembered", loss={**MASKED, "label_memory": 50}),
    _one("scoring", "cosine", "one vector a sentence"),
    _one("scoring", "token_match", "token-level score of ConTeXT-match", loss={**MASKED, "name": "token_match"}),
    _one("scoring", "token_and_cosine", "both, as released", loss={**MASKED, "name": "token_and_cosine"}),
    _one("positives", "own", "a sentence's own skill; others that it asks for are left out"),
    _one(
        "positives",
        "all",
        "every label of the batch that the sentence asks for, joined ones too",
        loss={**MASKED, "several_positives": True},
        augmentation={"join": 0.5, "joined_labels_are_positives": True},
    ),
    _one(
        "curriculum",
        "together",
        "as many definitions as sentences, mixed",
        sources={"synthetic": {"limit": BUDGET // 2}, "descriptions": {"limit": BUDGET // 2}},
    ),
    *(
        Row(
            "curriculum",
            name,
            what,
            (
                {"name": "definitions", "sources": {"descriptions": {}}, "loss": {**MASKED, "scale": scale}},
                {"name": "sentences", "sources": {"synthetic": {}}},
            ),
        )
        for name, what, scale in (
            ("definitions_first", "definitions, then sentences", 20.0),
            ("definitions_first_sharper", "definitions at temperature 0.03, then sentences at 0.05", 33.3),
        )
    ),
    *(
        _one("learning_rate", f"{rate:.0e}".replace("e-0", "e-"), f"highest learning rate {rate:g}", learning_rate=rate)
        for rate in (5e-5, 2e-5, 1e-4, 2e-4)
    ),
    *(
        _one("temperature", f"{1 / scale:.2f}", f"scale {scale:g}", loss={**MASKED, "scale": scale})
        for scale in (20.0, 50.0, 10.0)
    ),
    _one("unseen_skills", "all_seen", "trained on all skills", sources=MIXED),
    _one(
        "unseen_skills",
        "fifth_held_out",
        "a fifth of the skills held out",
        sources=MIXED,
        recipe={"held_out_folds": list(FOLDS_HELD_OUT)},
    ),
    _one("skillskape", "without", "sentences, descriptions, alternative labels", sources=MIXED),
    _one("skillskape", "with", "and SkillSkape", sources={**MIXED, "skillskape": {}}, needs=("skillskape",)),
    _one(
        "self_training", "without", "all labelled sources", sources={**MIXED, "skillskape": {}}, needs=("skillskape",)
    ),
    _one(
        "self_training",
        "with",
        "and real sentences labelled by a teacher",
        sources={**MIXED, "skillskape": {}, "pseudo_labels": {}},
        needs=("skillskape", "pseudo_labels"),
    ),
    _one("language_model", "first", "sentences by the dataset's LLM"),
    _one("language_model", "other", "the same skills, by another LLM", dataset="other_llm", needs=("other_llm",)),
)


def recipe_of(row: Row, seed: int) -> Recipe:
    """The recipe of a row: BUDGET pairs are shared by its stages; the caller measures once, at the end.

    Raises:
        StageError: a row that is no recipe.
    """
    common = {
        "name": "main",
        "sources": SENTENCES,
        "epochs": 1,
        "batch_size": BATCH,
        "learning_rate": 5e-5,
        "loss": MASKED,
        "augmentation": {"join": 0.5},
        "pairs_limit": BUDGET // len(row.stages),
        "max_steps": max(BUDGET // len(row.stages) // BATCH, 1),
    }
    values = {
        "name": f"{row.question}-{row.name}",
        "description": row.what,
        "max_tokens": 64,
        "seed": seed,
        "validation": {"times_per_epoch": 0},
        "stages": [{**common, **stage} for stage in row.stages],
        **row.recipe,
    }
    return recipe_from_dict(values, f"ablation {row.question}/{row.name}")
