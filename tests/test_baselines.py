"""Lexical systems and fusion on a label space small enough to work by hand."""

import dataclasses

import numpy as np
import pytest

from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease, Skill, read_esco
from eval.baselines import Bm25, Fusion, LiteralMatch, TfIdf, sum_of_z_scores, words_of
from eval.label_space import SkillNames, names_of_release
from eval.ranking import top_of
from training.literal_matches import match_literally

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


TRAPS = {
    "R": "statistics language",
    "law": "legal matters",
    "compile airport manuals": "equipment",
    "plan procurement": "and procedures",
    "C++": "",
    "node.js": "",
    "on-site work": "",
    "manage staff": "lead a team",
    "staff": "crew",
    "team building": "lead a team",
    "Python (computer programming)": "python",
}


@pytest.mark.parametrize(
    ("sentence", "by_eval", "by_training"),
    [
        ("We use R and law.", {"R", "law"}, set()),  # One short word means little: no training pair.
        ("Lead a team, LEGAL MATTERS too", set(), {"law"}),  # "lead a team" is said of two skills, so of neither.
        ("MANAGE\tStaff", {"manage staff", "staff"}, {"manage staff", "staff"}),  # Case, white space, overlap.
        ("manages staffs", set(), set()),  # Other forms are other words.
        ("mismanage staffing", set(), set()),
        ("manage, staff", {"manage staff", "staff"}, {"manage staff", "staff"}),  # Punctuation parts no words.
        ("manage the staff", {"staff"}, {"staff"}),
        ("C+ or node js or C ++", set(), set()),
        ("C++/node.js, on-site work", {"C++", "node.js", "on-site work"}, {"node.js", "on-site work"}),
        ("on site work", set(), set()),
        ("Equipment and procedures", set(), set()),  # What ESCO's alternative labels hold is not always a name.
        ("python", set(), {"Python (computer programming)"}),  # Alternative labels teach; they are not ranked by.
        ("_staff_ staff's", {"staff"}, {"staff"}),
        ("staff\u2019s", set(), set()),
        ("", set(), set()),
    ],
)
def test_literal_match_of_evaluation_and_of_training_on_traps(sentence, by_eval, by_training):
    """Both take the same words for a mention; training's pairs leave out what would teach wrongly."""
    skills = tuple(
        Skill(uri=f"http://x/{n}", label=label, alternative_labels=(other,) if other else ())
        for n, (label, other) in enumerate(TRAPS.items())
    )
    system = LiteralMatch()
    system.index(SkillNames(labels=tuple(TRAPS), source="", version=""))
    found = {label for label, score in zip(TRAPS, system.scores([sentence])[0], strict=True) if score}
    assert found == by_eval
    matches = match_literally([sentence], EscoRelease(version="1", language="en", skills=skills))
    assert {label for match in matches for label in match.labels} == by_training


def test_literal_matches_of_both_agree_on_the_sample(repo):
    """Every sentence of the sample's descriptions and names: what training finds by a preferred label, eval finds too,
    and the other way round for names of two words or one long one.
    """
    esco = read_esco([repo / "dataset_builder" / "sample_esco"])
    texts = [text for skill in esco.skills for text in (skill.description, skill.label.upper()) if text]
    bare = dataclasses.replace(
        esco, skills=tuple(dataclasses.replace(skill, alternative_labels=()) for skill in esco.skills)
    )
    system = LiteralMatch()
    system.index(names_of_release(bare, ""))
    long_enough = np.array([len(words_of(label)) > 1 or len(words_of(label)[0]) >= 5 for label in esco.labels])
    by_eval = (system.scores(texts) > 0) & long_enough
    by_training = {match.sentence: set(match.labels) for match in match_literally(texts, bare)}
    for text, row in zip(texts, by_eval, strict=True):
        assert by_training.get(text, set()) == {esco.labels[place] for place in np.flatnonzero(row)}
    assert by_eval.sum() > 100


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


class Given:
    """A system of one's own that gives what it is told to."""

    name = "given"

    def __init__(self, scores):
        self.given = scores

    def index(self, names):
        pass

    def scores(self, sentences):
        return self.given


def test_fusion_takes_lists_as_any_other_system_does():
    """literal alone gives (0, 2, 1, 0, 0): five numbers that are all the same add nothing."""
    fused = Fusion([LiteralMatch(), Given([[1, 1, 1, 1, 1]])], [1.0, 1.0])
    fused.index(NAMES)
    assert top_of(fused.scores(["manage staff"])[0], 1).tolist() == [1]


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (None, r"given gave scores of shape \(\)"),
        ([[0.5]], r"given gave scores of shape \(1, 1\), and \(1, 5\)"),
        (np.zeros(5), r"given gave scores of shape \(5,\)"),
        (np.full((1, 5), np.nan), "given gave scores that are not finite"),
        ([list("abcde")], "given gave scores that are no array of numbers"),
    ],
)
def test_fusion_says_whose_scores_cannot_be(scores, says):
    """One score a sentence would be broadcast over all labels without a word."""
    fused = Fusion([LiteralMatch(), Given(scores)], [1.0, 1.0])
    fused.index(NAMES)
    with pytest.raises(StageError, match=says):
        fused.scores(["manage staff"])


@pytest.mark.parametrize("system", [TfIdf("words"), Bm25()])
def test_labels_without_words_are_one_line(system):
    """A list of one's own may hold signs alone."""
    with pytest.raises(StageError, match=f"{system.name} finds no words in own list"):
        system.index(SkillNames(labels=("+", "-"), source="own list", version=""))
