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
)
from dataset_builder.quality import histograms, measure, wilson_interval
from dataset_builder.quality_gates import FilterOptions, run_filters
from dataset_builder.round_trip import REASON, Bounds, Remembering, bound_on_validation, drop_lost, gold_ranks
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


def names_of(encoder):
    vectors = encoder.encode(RELEASE.labels)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_round_trip_finds_the_rank_of_the_gold_name_that_ranks_last():
    """'bake budgets': bread and budgets both score 1/2, C++ 0. Ties count in favour: both have rank 1, C++ rank 3."""
    encoder = WordEncoder()
    ranks = gold_ranks(encoder, ["bake budgets"] * 5, [[0], [2], [1], [0, 2], [2, 1]], names_of(encoder))
    assert ranks == [1, 1, 3, 1, 3]
    assert gold_ranks(encoder, [], [], names_of(encoder)) == []


def test_sentences_of_which_a_skill_is_not_found_again_are_dropped():
    """Of a co-mention each skill gets a row, so each must be found: in the third bread is, C++ is not."""
    encoder = WordEncoder()
    given = [sentence("bake bread", BREAD), sentence("bake bread", CPP), sentence("bake bread", CPP, BREAD)]
    given += [sentence("bake budgets", BREAD, BUDGET)]
    report = Report()
    assert drop_lost(given, encoder, RELEASE, names_of(encoder), Bounds(1), report) == [given[0], given[3]]
    assert report.rejected == {REASON: 2}


def test_a_skill_with_too_few_near_sentences_keeps_its_nearest_ones():
    """C++ ranks third of three, with bread and budgets at 1/2 each, and second where one of them has a word there.

    Bread has its own sentence near, so that its far one is not needed; of C++'s three the two nearest are kept.
    """
    encoder = WordEncoder()
    near, far = sentence("bake bread", BREAD), sentence("manage budgets", BREAD)
    third, second, again = sentence("bake budgets", CPP), sentence("bread", CPP), sentence("budgets", CPP)
    given = [third, near, second, far, again]
    assert gold_ranks(encoder, ["bake budgets", "bread", "budgets"], [[1]] * 3, names_of(encoder)) == [3, 2, 2]
    kept = {
        count: drop_lost(given, encoder, RELEASE, names_of(encoder), Bounds(1, 3, count), Report())
        for count in (0, 1, 2, 3)
    }
    assert kept[0] == [near]
    assert kept[1] == [near, second]
    assert kept[2] == [near, second, far, again]
    assert kept[3] == given
    assert drop_lost(given, encoder, RELEASE, names_of(encoder), Bounds(1, 2, 3), Report()) == [
        near,
        second,
        far,
        again,
    ]


def test_a_text_is_embedded_once_however_often_filters_run():
    asked = []

    class Counting(WordEncoder):
        def encode(self, texts):
            asked.extend(texts)
            return super().encode(texts)

    encoder = Remembering(Counting())
    first = encoder.encode(["bake bread", "manage budgets", "bake bread"])
    again = encoder.encode(["manage budgets", "bake c++"])
    assert asked == ["bake bread", "manage budgets", "bake c++"]
    assert np.array_equal(first, WordEncoder().encode(["bake bread", "manage budgets", "bake bread"]))
    assert np.array_equal(again, WordEncoder().encode(["manage budgets", "bake c++"]))


def test_the_bound_is_the_rank_that_95_percent_of_gold_labels_reach(tmp_path):
    """Twenty pairs: nineteen at rank 1, one at rank 3. ceil(0.95 x 20) = 19, so the 19th rank counts: 1.

    With two more at 1 and 2 (after bread, level with budgets) ceil(0.95 x 22) = 21, and the 21st of 1 x 20, 2, 3 is 2.
    What a test file holds as well does not count: of 21 the 20th is 1 again.
    """
    rows = [(f"bake bread {number}", "bake bread") for number in range(19)] + [("bake budgets", "C++")]
    write_benchmark(tmp_path, "x_validation.csv", *rows)
    encoder = WordEncoder()
    assert bound_on_validation(encoder, RELEASE, tmp_path, names_of(encoder)) == 1
    write_benchmark(tmp_path, "y_validation.csv", ("bake bread 2", "C++"), ("bake bread yes", "bake bread"))
    assert bound_on_validation(encoder, RELEASE, tmp_path, names_of(encoder)) == 2
    write_benchmark(tmp_path, "y_test.csv", ("bake bread 2", "C++"))
    assert bound_on_validation(encoder, RELEASE, tmp_path, names_of(encoder)) == 1
    with pytest.raises(StageError, match=r"_validation\.csv"):
        bound_on_validation(encoder, RELEASE, tmp_path / "none", names_of(encoder))


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
