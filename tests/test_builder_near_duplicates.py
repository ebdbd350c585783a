"""Near-duplicates of other skills' sentences are found as a comparison of all pairs finds them."""

import random

import pytest
from rapidfuzz import fuzz

from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.filters import NEAR_SCORE, Report, normal_form
from dataset_builder.near_duplicates import MIN_WORDS, REASON, WORD_OVERLAP, drop_near_duplicates
from dataset_builder.quality_gates import FilterOptions, run_filters
from dataset_builder.sentences import Sentence

SKILLS = tuple(Skill(uri=f"urn:{n}", label=f"label {n}") for n in range(9))


def sentence(text, skill=0):
    return Sentence(text, (SKILLS[skill],), "duty", "styled")


@pytest.mark.parametrize(
    ("first", "second", "near"),
    [
        ("You plan the yearly costs of our three clinics.", "* you plan the yearly costs of our two clinics", True),
        ("You plan the yearly costs of our three clinics.", "Of our three clinics you plan the yearly costs!", True),
        ("You plan the yearly costs of our clinics.", "You plan the weekly menus of our canteens.", False),
        ("You plan costs.", "You plan cost.", False),
        ("Cleans stables and reports signs of illness.", "Cleans the stables and reports signs of illness.", True),
    ],
)
def test_near_means_ninety_of_a_hundred_in_any_order_of_words(first, second, near):
    """The pair of three-word lines is left alone: so short, any two look alike."""
    report = Report()
    kept = drop_near_duplicates([sentence(first), sentence(second, 1)], report)
    assert kept == [sentence(first)] if near else [sentence(first), sentence(second, 1)]
    assert report.rejected == ({REASON: 1} if near else {})


def test_the_report_shows_both_sentences():
    report = Report()
    drop_near_duplicates(
        [
            sentence("You plan the yearly costs of three clinics", 3),
            sentence("You plan the yearly costs of two clinics", 5),
        ],
        report,
    )
    assert report.examples == {
        REASON: [
            "label 5: You plan the yearly costs of two clinics ~ label 3: You plan the yearly costs of three clinics"
        ]
    }
    assert report.reasons_of == {"urn:5": {REASON}}


def all_pairs(sentences):
    """The same by its definition: each sentence against every kept one."""
    kept = []
    for one in sentences:
        words = sorted(normal_form(one.text).split())
        if not any(is_near(words, sorted(normal_form(other.text).split())) for other in kept):
            kept.append(one)
    return kept


def is_near(one, other):
    overlap = len(set(one) & set(other)) / len(set(one) | set(other))
    long = min(len(one), len(other)) >= MIN_WORDS
    return long and overlap >= WORD_OVERLAP and fuzz.ratio(" ".join(one), " ".join(other)) >= NEAR_SCORE


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_missed_that_all_pairs_find(seed):
    """300 sentences of 4 to 14 words from 60, half of them an earlier one with a word changed, dropped or added.

    Sentences that share fewer words may be found as well, so what is kept may only be less by those.
    """
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choice("abcdefgh") for _ in range(rng.randint(2, 9))) for _ in range(60)]
    texts = []
    for _ in range(300):
        if texts and rng.random() < 0.5:
            words = rng.choice(texts).split()
            place = rng.randrange(len(words))
            words[place : place + rng.choice([0, 1, 1])] = rng.choices(vocabulary, k=rng.choice([0, 1, 1]))
        else:
            words = rng.choices(vocabulary, k=rng.randint(4, 14))
        texts.append(" ".join(words))
    given = [sentence(text, number % 9) for number, text in enumerate(texts)]
    report = Report()
    kept = drop_near_duplicates(given, report)
    assert 50 < report.rejected[REASON] == len(given) - len(kept)
    for number, one in enumerate(kept):
        words = sorted(normal_form(one.text).split())
        assert not any(is_near(words, sorted(normal_form(other.text).split())) for other in kept[:number])
    # And nothing goes without a near one that stays.
    for one in set(given) - set(kept):
        words = " ".join(sorted(normal_form(one.text).split()))
        assert any(fuzz.token_sort_ratio(words, normal_form(other.text)) >= NEAR_SCORE for other in kept)
    assert abs(len(kept) - len(all_pairs(given))) <= 15


def test_the_filters_of_a_build_use_it():
    release = EscoRelease(version="1", language="en", skills=SKILLS)
    given = [sentence("You plan the yearly costs of our three clinics."), sentence("You repair old tractors daily.", 1)]
    near = sentence("You plan the yearly costs of our two clinics.", 2)
    report = Report()
    assert run_filters([*given, near], release, FilterOptions(), report) == given
    assert report.rejected == {REASON: 1}
