"""Each filter rejects what it should, counts it, and keeps the rest."""

import numpy as np
import pytest

from dataset_builder.benchmark_overlap import EXACT_REASON, NEAR_REASON, benchmark_sentences, drop_benchmark_copies
from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.filters import (
    Report,
    apply_checks,
    cap_leakage,
    check_language,
    check_length,
    check_markup,
    check_talk,
    drop_duplicates,
    leaks,
    normal_form,
)
from dataset_builder.quality import histograms, measure, wilson_interval
from dataset_builder.quality_gates import FilterOptions, run_filters
from dataset_builder.round_trip import REASON
from dataset_builder.sentences import Sentence

BUDGET = Skill(uri="urn:budget", label="manage budgets")
CPP = Skill(uri="urn:cpp", label="C++")
BREAD = Skill(uri="urn:bread", label="bake bread")
RELEASE = EscoRelease(version="1", language="en", skills=(BUDGET, CPP, BREAD))


def sentence(text, *skills, style="duty", family="styled"):
    return Sentence(text, skills or (BUDGET,), style, family)


@pytest.mark.parametrize(
    ("text", "check", "reason"),
    [
        ("* Budgets", check_length, "too short"),
        ("word " * 46, check_length, "too long"),
        ("x" * 200 + " " + "y" * 200, check_length, "too long"),
        ("You plan <b>costs</b>.", check_markup, "markup"),
        ("You work at [Company Name].", check_markup, "markup"),
        ("See https://example.com for more.", check_markup, "markup"),
        ("Skill: manage budgets", check_markup, "markup"),
        ("* Required skills: budgets", check_markup, "markup"),
        ("Essential skills: budgets", check_markup, "markup"),
        ("Plans costs. 2. Pays bills. 3. Calls", check_markup, "markup"),
        ("Who pays? 3) You do.", check_markup, "markup"),
        ("Sure! Plans costs", check_talk, "talk about the task"),
        ("Sure we can help with that", check_talk, "talk about the task"),
        ("As an AI system, I plan costs", check_talk, "talk about the task"),
        ("Plans costs (Skill: plan costs)", check_markup, "markup"),
        ("As an AI, I plan costs", check_talk, "talk about the task"),
        ("As an AI model I plan costs", check_talk, "talk about the task"),
        ("Here are the lines:", check_talk, "talk about the task"),
        ("This skill is needed for the job.", check_talk, "talk about the task"),
        ("* Here are the tools", check_talk, "talk about the task"),
        ("• This skill is essential", check_talk, "talk about the task"),
        ("A duty for the job ad", check_talk, "talk about the task"),
        ("As a large language model, I plan costs", check_talk, "talk about the task"),
        ("Sie planen jede Woche die Kosten unserer Werkstatt.", check_language("en"), "wrong language"),
        ("You plan the yearly costs.", check_language("de"), "wrong language"),
    ],
)
def test_a_check_names_its_reason(text, check, reason):
    assert check(sentence(text)) == reason


@pytest.mark.parametrize(
    "text",
    [
        "* Cost planning and reports",
        "Java, React and C++ (3+ years)",
        "You plan what 5 < 10 people may spend.",
        "You write every job ad and train the language model behind our search.",
        "Sure-footed on ladders and roofs",
        "As an AI technician, you place sensors.",
        "We test three skills: planning, reporting and saying no.",
        "You start on 1. 2. 2026 with a raise of 2.5 points. 2 weeks later you lead.",
        "Knife skills: paring, peeling, filleting.",
    ],
)
def test_good_lines_pass_every_check(text):
    checks = [check_length, check_markup, check_talk, check_language("en")]
    assert all(check(sentence(text)) is None for check in checks)


def test_rejected_sentences_are_counted_and_five_are_kept_as_examples():
    report = Report()
    assert apply_checks([sentence("x")] * 7 + [sentence("You plan costs.")], [check_length], report) == [
        sentence("You plan costs.")
    ]
    assert report.rejected == {"too short": 7}
    assert len(report.examples["too short"]) == 5
    assert report.reasons_of == {"urn:budget": {"too short"}}


def test_duplicates_across_skills_and_near_duplicates_within_one():
    """The second is the first in other letters; the third moves one word; the fourth is another skill's near copy."""
    given = [
        sentence("You plan the yearly costs of three clinics."),
        sentence("* you plan the yearly COSTS of three clinics", CPP),
        sentence("Of three clinics you plan the yearly costs."),
        sentence("You plan the yearly costs of two clinics.", BREAD),
    ]
    report = Report()
    assert drop_duplicates(given, report) == [given[0], given[3]]
    assert report.rejected == {"duplicate": 1, "near-duplicate": 1}


@pytest.mark.parametrize(
    ("text", "skill", "expected"),
    [
        ("You Manage Budgets, daily.", BUDGET, True),
        ("You manage budgetsheets.", BUDGET, False),
        ("You manage the budgets.", BUDGET, False),
        ("Good C++ skills", CPP, True),
        ("Good C skills", CPP, False),
    ],
)
def test_a_leak_is_the_label_word_for_word(text, skill, expected):
    assert leaks(sentence(text, skill)) is expected


def test_leakage_is_brought_under_its_bound_without_losing_a_skill():
    """9 clean and 3 leaking sentences at a bound of 0.2: 2 of 11 is 0.18, so one leaking sentence goes.

    The one that is all that C++ has stays.
    """
    clean = [sentence(f"You plan costs of site {number}.") for number in range(9)]
    leaking = [sentence("C++ is a must", CPP), sentence("You manage budgets"), sentence("You manage budgets well")]
    report = Report()
    kept = cap_leakage([*clean, *leaking], report, share=0.2)
    assert len(kept) == 11
    assert leaking[0] in kept
    assert report.rejected == {"repeats the label": 1}
    assert sum(map(leaks, kept)) / len(kept) <= 0.2


def test_skills_with_two_sentences_are_spared_as_long_as_others_have_more():
    """5 of 10 leak at a bound of 0.4: 1 of them must go (4 of 9 is 0.44, so 2: 3 of 8 is 0.375).

    C++ has two sentences, both leaking, and bread three: with three of budgets, those of bread and budgets go.
    """
    cpp = [sentence("C++ is a must", CPP), sentence("You like C++", CPP)]
    bread = [
        sentence("You bake bread", BREAD),
        sentence("Who will bake bread", BREAD),
        sentence("Rolls and cakes", BREAD),
    ]
    budgets = [sentence("You manage budgets"), *(sentence(f"You plan costs of site {n}.") for n in range(4))]
    kept = cap_leakage([*cpp, *bread, *budgets], Report(), share=0.4)
    assert len(kept) == 8
    assert set(cpp) < set(kept)


def test_leakage_goes_down_even_when_a_skill_is_lost():
    """1 clean and 1 leaking at a bound of 0.1: only 0 of 1 is under it."""
    kept = cap_leakage([sentence("You plan costs."), sentence("C++ is a must", CPP)], Report(), share=0.1)
    assert kept == [sentence("You plan costs.")]


def write_benchmark(folder, name, *rows):
    folder.mkdir(exist_ok=True)
    lines = ["sentence,label", *(f'"{text}",{label}' for text, label in rows)]
    (folder / name).write_text("\n".join(lines) + "\n")


def test_copies_of_benchmark_sentences_are_dropped_whether_labelled_or_not(tmp_path):
    write_benchmark(
        tmp_path / "b",
        "a_test.csv",
        ("Plan the yearly costs of our three clinics", "manage budgets"),
        ("We are nice people", "LABEL NOT PRESENT"),
        ("Java", "Java"),
    )
    benchmark = benchmark_sentences(tmp_path / "b")
    assert len(benchmark) == 3
    given = [
        sentence("* Plan the yearly costs of our three clinics!"),
        sentence("Plans the yearly costs of our three clinics"),
        sentence("We are nice people."),
        sentence("Jave"),
        sentence("You bake bread every morning in the village."),
    ]
    report = Report()
    assert drop_benchmark_copies(given, benchmark, report) == given[3:]
    assert report.rejected == {EXACT_REASON: 2, NEAR_REASON: 1}


def test_a_benchmark_folder_without_files_is_an_error(tmp_path):
    with pytest.raises(StageError, match="holds no benchmark CSV"):
        benchmark_sentences(tmp_path)


class WordEncoder:
    """One dimension a word of a small vocabulary."""

    words = ("manage", "budgets", "c++", "bake", "bread", "clinic")

    def encode(self, texts):
        return np.array([[float(word in text.lower().split()) for word in self.words] for text in texts], np.float32)


def test_all_filters_in_order(tmp_path):
    write_benchmark(tmp_path, "t_test.csv", ("You bake bread for the whole village", "bake bread"))
    given = [
        sentence("x"),
        sentence("You bake bread for the whole village.", BREAD),
        sentence("You bake rolls and bread", BREAD),
        sentence("You paint the clinic", CPP),
        sentence("You see that budgets hold"),
    ]
    report = Report()
    options = FilterOptions(benchmarks=str(tmp_path), round_trip_k=1)
    kept = run_filters(given, RELEASE, options, report, encoder=WordEncoder())
    # "paint the clinic" is near nothing: all names tie at zero, and a tie is no ground to reject.
    assert kept == [given[2], given[3], given[4]]
    assert report.rejected[EXACT_REASON] == 1
    assert report.rejected["too short"] == 1
    assert report.round_trip_k == 1
    # To see what filters are worth, all but copies of benchmark sentences may stay.
    unfiltered = FilterOptions(benchmarks=str(tmp_path), round_trip_k=1, unfiltered=True)
    assert run_filters(given, RELEASE, unfiltered, Report(), WordEncoder()) == [given[0], *given[2:]]


def test_each_gate_rejects_its_own_and_what_is_right_outlives_its_copies(tmp_path):
    """Budgets' line about bread is lost on the round trip, so that bread's own line with the same words may stay.

    One of five that are left repeats its label, more than 9.5%: it goes.
    """
    write_benchmark(tmp_path, "t_test.csv", ("You bake bread for the whole village", "bake bread"))
    given = [
        sentence("x"),
        sentence("You bake bread for the whole village.", BREAD),
        sentence("You bake bread for a whole village", BREAD),
        sentence("You bake rolls and cakes each morning"),
        sentence("You bake rolls and cakes each morning", BREAD),
        sentence("You bake rolls, and cakes, each morning!", BREAD),
        sentence("You bake rolls and cakes each mornings", BREAD),
        sentence("You manage budgets"),
        sentence("You see that budgets hold"),
        sentence("Nobody overspends budgets thanks to you"),
        sentence("All costs stay within budgets"),
    ]
    report = Report()
    kept = run_filters(
        given, RELEASE, FilterOptions(benchmarks=str(tmp_path), round_trip_k=1), report, encoder=WordEncoder()
    )
    assert report.rejected == {
        "too short": 1,
        EXACT_REASON: 1,
        NEAR_REASON: 1,
        REASON: 1,
        "duplicate": 1,
        "near-duplicate": 1,
        "repeats the label": 1,
    }
    assert kept == [given[4], *given[8:]]
    # Nothing of a benchmark is published with the examples.
    assert not any("village" in example for examples in report.examples.values() for example in examples)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी में योजना", "हिन्दी में योजना"),
        ("การวางแผน, ที่ดี", "การวางแผน ที่ดี"),
        ("Re\u0301sume\u0301 of a cafe\u0301", "r\u00e9sum\u00e9 of a caf\u00e9"),
        ("\u2714\ufe0f Plans costs, in C++ & C#", "plans costs in c++ c#"),
    ],
)
def test_marks_stay_with_their_letters(text, words):
    assert normal_form(text) == words


def test_an_accent_of_its_own_makes_no_other_sentence():
    """Five words in both spellings, of which the fourth is the label: one sentence."""
    skill = Skill(uri="urn:cafe", label="r\u00e9sum\u00e9")
    given = [sentence("You sort r\u00e9sum\u00e9s: r\u00e9sum\u00e9 1", skill)]
    given.append(sentence("You sort re\u0301sume\u0301s: re\u0301sume\u0301 1", skill))
    assert [leaks(one) for one in given] == [True, True]
    assert drop_duplicates(given, Report()) == given[:1]
    assert measure(given[1:], 1)["mean_words"] == 5.0


def test_wilson_interval_of_five_in_ten():
    """z = 1.96: centre (0.5 + 0.19207) / 1.38415 = 0.5, half width 0.2634: 0.2366 to 0.7634."""
    low, high = wilson_interval(5, 10)
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert wilson_interval(0, 10)[0] == 0.0
    with pytest.raises(ValueError, match="11 of 10"):
        wilson_interval(11, 10)


def test_figures_of_a_small_set():
    """Two of three skills have sentences, one has two: coverage 2/3, two or more 1/3.

    Words: 4, 3, 3; two of three leak (C++ does); skills a sentence (1 + 1 + 2) / 3; all 2 + 1 + 1 trigrams differ.
    """
    given = [sentence("You plan all costs."), sentence("You manage budgets"), sentence("C++ is fun", CPP, BUDGET)]
    figures = measure(given, 3)
    assert figures["coverage"] == pytest.approx(2 / 3)
    assert figures["coverage_two"] == pytest.approx(1 / 3)
    assert figures["leakage"] == pytest.approx(2 / 3)
    assert figures["mean_words"] == pytest.approx(10 / 3)
    assert figures["skills_per_sentence"] == pytest.approx(4 / 3)
    assert figures["sentences_per_skill"] == pytest.approx(2.0)
    assert figures["distinct_trigrams"] == 1.0
    assert histograms(given)["skills_per_sentence"] == {"1": 2, "2": 1}
    assert histograms(given)["words"] == {"3": 2, "4": 1}
    assert measure([], 3)["coverage"] == 0.0
