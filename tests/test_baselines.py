"""Lexical systems and fusion on a label space small enough to work by hand."""

import numpy as np
import pytest

from eval.baselines import Bm25, Fusion, LiteralMatch, TfIdf, sum_of_z_scores, words_of
from eval.label_space import SkillNames
from eval.ranking import top_of

NAMES = SkillNames(
    labels=("Python (computer programming)", "manage staff", "staff", "C++", "bake bread"),
    source="test",
    version="0",
    alternative_labels=(("Python",), ("lead a team", "supervise workers"), (), (), ("make loaves",)),
)


def best(system, sentence):
    system.index(NAMES)
    row = system.scores([sentence])[0]
    return NAMES.labels[top_of(row, 1)[0]] if row.max() > 0 else None


def test_words_keep_the_signs_inside_names():
    assert words_of("Use C++, C#, node.js & the state-of-the-art! (O'Neil)") == [
        "use",
        "c++",
        "c#",
        "node.js",
        "the",
        "state-of-the-art",
        "o'neil",
    ]
    assert words_of("*  -- !") == []


def test_literal_match_counts_words_and_takes_whole_words_only():
    """'manage staff' has two words and contains 'staff', which has one; 'staffing' matches nothing."""
    system = LiteralMatch()
    system.index(NAMES)
    scores = system.scores(["You MANAGE  staff in C++.", "staffing the unmanaged", "bake", ""])
    assert scores[0].tolist() == [0, 2, 1, 1, 0]
    assert not scores[1:].any()


def test_tfidf_of_words_takes_the_label_that_shares_most():
    assert best(TfIdf("words"), "bake the bread for staff") == "bake bread"
    assert best(TfIdf("words"), "loaves") is None


def test_tfidf_of_characters_finds_other_forms_of_a_word():
    assert best(TfIdf("chars"), "managing and staffed") in ("manage staff", "staff")
    assert best(TfIdf("words"), "managing and staffed") is None


@pytest.mark.parametrize("unit", ["words", "chars"])
def test_alternative_labels_count_for_their_skill_as_its_best_name(unit):
    """A sentence that is an alternative label has cosine 1 with it, so its skill scores 1 whatever its other names."""
    system = TfIdf(unit, alternative=True)
    system.index(NAMES)
    assert system.name == f"tfidf-{unit}-alt"
    scores = system.scores(["make loaves", "supervise workers", "Python"])
    assert [NAMES.labels[top_of(row, 1)[0]] for row in scores] == [
        "bake bread",
        "manage staff",
        "Python (computer programming)",
    ]
    assert scores.max(axis=1) == pytest.approx([1, 1, 1])


def test_bm25_ranks_the_label_with_both_words_first_and_survives_unknown_words():
    assert best(Bm25(), "manage the staff") == "manage staff"
    assert best(Bm25(), "xyzzy") is None


def test_bm25_by_the_formula():
    """One label, one word: idf = ln(1 + (1 - 1 + 0.5) / (1 + 0.5)) = ln(4/3); tf = 1 / (1 + 1.5) = 0.4 (Lucene)."""
    system = Bm25()
    system.index(SkillNames(labels=("staff",), source="", version=""))
    assert system.scores(["staff"])[0, 0] == pytest.approx(np.log(4 / 3) * 0.4)


def test_z_scores_by_hand():
    """(1, 3): mean 2, spread 1, z (-1, 1). (5, 5) has no spread and counts 0. 0.5 z1 + 2 * 0 = (-0.5, 0.5)."""
    first, flat = np.array([[1, 3]], dtype=np.float32), np.array([[5, 5]], dtype=np.float32)
    assert sum_of_z_scores([(0.5, first), (2, flat)]).tolist() == [[-0.5, 0.5]]


def test_fusion_weighs_its_systems():
    first, second = LiteralMatch(), Bm25()
    fused = Fusion([first, second], [0.6, 0.4])
    fused.index(NAMES)
    parts = sum_of_z_scores([(0.6, first.scores(["manage staff"])), (0.4, second.scores(["manage staff"]))])
    assert fused.scores(["manage staff"]) == pytest.approx(parts)
    assert fused.name == "0.6 literal + 0.4 bm25"
    with pytest.raises(ValueError, match="2 systems and 1 weights"):
        Fusion([first, second], [1.0])
