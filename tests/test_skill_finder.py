"""From a text to its skills: scores by hand, evidence, thresholds, names, near-duplicates, and the index's refusals."""

import numpy as np
import pytest

from no_skill import Gate
from skill_finder import Settings, SkillFinder, SkillFinderError
from skill_index import Skill
from tests.tiny_finder import ESCO, WordEncoder, tiny_finder


@pytest.fixture(scope="module")
def finder() -> SkillFinder:
    return tiny_finder()


def labels(matches) -> list[str]:
    return [match.label for match in matches]


def test_score_is_the_cosine_and_evidence_is_the_users_text(finder):
    """{you, bake, bread} and {bake, bread, in, ovens} share 2 words: cosine = 2 / sqrt(3 x 4) = 0.577."""
    text = "About you\n\n• You bake bread\n"
    (match,) = finder.find_skills(text)
    assert match.label == "bake bread in ovens"
    assert match.uri == ESCO + "bread"
    assert match.type == "competence"
    assert match.score == pytest.approx(2 / np.sqrt(12), abs=1e-6)
    assert [text[place.start : place.end] for place in match.evidence] == ["You bake bread"]
    assert match.found_by == "meaning"


def test_below_the_threshold_there_is_nothing(finder):
    assert finder.find_skills("You bake bread", threshold=0.58) == []
    assert labels(finder.find_skills("You bake bread", threshold=0.57)) == ["bake bread in ovens"]


@pytest.mark.parametrize("fusion", ["both", "words"])
def test_a_name_that_is_written_out_reaches_the_threshold_too(finder, fusion):
    """A label counts 0.95, however near the encoder puts it: what asks for more gets nothing."""
    assert labels(finder.find_skills("Knows C++ well", threshold=0.95, fusion=fusion)) == ["C++"]
    assert finder.find_skills("Knows C++ well", threshold=0.96, fusion=fusion) == []


def test_evidence_of_all_passages_is_kept_best_first(finder):
    text = "You bake bread.\nEvery night: bake bread in ovens."
    (match,) = finder.find_skills(text)
    assert [text[place.start : place.end] for place in match.evidence] == ["bake bread in ovens", "You bake bread."]
    assert match.evidence[0].score >= match.evidence[1].score == pytest.approx(2 / np.sqrt(12), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "\n\n",
        "🎉",
        "We are a family business since 1926.",
        "12 Main Street, 10115 Berlin",
        "\0\0\0",
        "a" * 5000,
    ],
)
def test_an_honest_nothing(finder, text):
    assert finder.find_skills(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "We are an equal opportunity employer and plan shifts of employees regardless of race.",
        "What we offer\n- we plan shifts of employees fairly",
        "About us\nWe plan shifts of employees for others.",
        "Salary: $20 to plan shifts of employees",
        "Send your CV to plan-shifts-of-employees@example.com",
    ],
)
def test_text_about_the_company_gives_no_skill(finder, text):
    assert finder.find_skills(text) == []


def test_a_heading_of_tasks_ends_the_part_about_the_company(finder):
    text = "Benefits\nFree bread\n\nYour tasks\nYou bake bread"
    assert labels(finder.find_skills(text)) == ["bake bread in ovens"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You know R and SQL", {"R", "SQL"}),
        ("Programming in C++, C# or CSS", {"C++", "C#", "CSS"}),
        ("LDAP/SQL basics", {"LDAP", "SQL"}),
        ("work in R&D", set()),
        ("Ask J. R. Smith", set()),
        ("Grade R teacher", set()),
        ("R. Smith is your boss", set()),
        ("our sql server", {"SQL"}),
        ("You'r team", set()),
        ("RUST and MySQLite", set()),
        ("a class of its own, in style", set()),
        ("Docker and Go", set()),
    ],
)
def test_short_names_are_found_when_written_and_only_then(finder, text, expected):
    short = {"SQL", "R", "C++", "C#", "CSS", "LDAP", "dock operations"}
    assert set(labels(finder.find_skills(text))) & short == expected


def test_a_label_wins_over_the_alias_of_another_skill(finder):
    """ "SQL" is the label of one skill and an alias of database management systems."""
    assert labels(finder.find_skills("SQL", fusion="words")) == ["SQL"]


def test_an_acronym_that_is_an_alias_needs_the_encoder(finder):
    """{adr, hazardous, goods} shares 1 word with {hazardous, materials, transportation}: 1 / 3 = 0.33, below 0.5."""
    assert finder.find_skills("ADR hazardous goods") == []
    text = "ADR for hazardous materials"
    (match,) = finder.find_skills(text)
    assert match.label == "hazardous materials transportation"
    assert text[match.evidence[0].start : match.evidence[0].end] == "ADR"


def test_written_names_narrow_the_evidence_to_the_words(finder):
    """{you, do, shift, planning, of, shifts} shares 2 words with the label of 4: 2 / sqrt(24) = 0.41 > 0.5 - 0.15."""
    text = "You do shift planning of shifts."
    match = finder.find_skills(text)[0]
    assert (match.label, match.score, match.found_by) == ("plan shifts of employees", 0.85, "words")
    assert text[match.evidence[0].start : match.evidence[0].end] == "shift planning"


def test_an_alias_alone_is_not_believed(finder):
    """{our, shift, planning} shares no word with {plan, shifts, of, employees}: the encoder does not agree."""
    assert finder.find_skills("Our shift planning") == []
    assert labels(finder.find_skills("Our shift planning", fusion="words")) == ["plan shifts of employees"]


def test_shared_words_lift_a_score_and_missing_ones_lower_it():
    """Cosine 2 / sqrt(12) = 0.577. Of the label's words bake, bread and oven ("in" is none), each in one label of 14,
    two are there; of its alias, bread and baking, one is: the best share is 2/3, so 0.577 + 0.3 x (2/3 - 0.5)."""
    finder = tiny_finder()
    finder.settings = Settings(0.5, "x", None, agreement=0.3)
    (match,) = finder.find_skills("You bake bread")
    assert match.score == pytest.approx(2 / np.sqrt(12) + 0.3 * (2 / 3 - 0.5), abs=1e-6)
    (alone,) = finder.find_skills("You bake bread", fusion="meaning")
    assert alone.score == pytest.approx(2 / np.sqrt(12), abs=1e-6)


def test_a_passage_shows_two_skills_by_meaning_at_most():
    """Every label shares "bake", "rolls" and "and" with the text."""
    skills = [Skill(str(n), f"bake and roll {name}") for n, name in enumerate(("rye", "oat", "wheat", "corn"))]
    finder = tiny_finder(skills, threshold=0.3)
    assert labels(finder.find_skills("You bake and roll", merge=False)) == ["bake and roll rye", "bake and roll oat"]


def test_fusion_is_one_argument(finder):
    text = "You do shift planning of shifts. You bake bread."
    assert labels(finder.find_skills(text, fusion="words")) == ["plan shifts of employees"]
    assert labels(finder.find_skills(text, fusion="meaning")) == ["bake bread in ovens"]
    assert set(labels(finder.find_skills(text))) == {"plan shifts of employees", "bake bread in ovens"}


def test_near_duplicates_stand_under_the_best(finder):
    """{plan shifts of employees} and {plan shifts of staff employees}: 4 / sqrt(4 x 5) = 0.894, above 0.78."""
    text = "You plan shifts of employees"
    merged = finder.find_skills(text)
    assert labels(merged) == ["plan shifts of employees"]
    assert merged[0].similar == ("plan shifts of staff employees",)
    assert labels(finder.find_skills(text, merge=False)) == [
        "plan shifts of employees",
        "plan shifts of staff employees",
    ]


def test_siblings_at_different_words_are_not_merged(finder):
    assert set(labels(finder.find_skills("C++ and C# and CSS"))) == {"C++", "C#", "CSS"}


def test_batch_equals_one_by_one_and_encodes_shared_passages_once():
    finder = tiny_finder()
    texts = ["You bake bread\nApply soon", "Apply soon\nYou know SQL", ""]
    together = finder.find_skills_batch(texts)
    assert sorted(finder.encoder.calls[-1]) == sorted({"You bake bread", "Apply soon", "You know SQL"})
    assert together == [finder.find_skills(text) for text in texts]


def test_top_k_keeps_the_best(finder):
    text = "SQL, R, C++ and bread baking"
    everything = finder.find_skills(text)
    assert finder.find_skills(text, top_k=2) == everything[:2]


def test_rank_gives_the_nearest_whatever_their_score(finder):
    ranked = finder.rank("bread", top_k=3)
    assert len(ranked) == 3
    assert ranked[0].label == "bake bread in ovens"
    assert ranked[0].score == pytest.approx(1 / np.sqrt(4))
    assert finder.rank("  ") == []


def test_the_gate_lets_a_bare_name_pass():
    """As a line of a list of skills is, which says too little for the gate: its own words are all it says."""
    shut = tiny_finder(gate=Gate(np.zeros(4096, np.float32), -3.0, 0.5))
    for text in ("SQL", "• SQL", "Knowledge of SQL.", "You will bake bread in ovens.", "Must have: SQL"):
        assert len(shut.find_skills(text)) == 1, text
    for text in ("We love SQL.", "Acme, an SQL company", "SQL and more fun for all of us", "Benefits\nSQL"):
        assert shut.find_skills(text) == [], text


def test_ties_keep_the_order_of_the_taxonomy():
    skills = [Skill("b", "two words"), Skill("a", "words two")]
    assert labels(tiny_finder(skills).rank("two words", 2)) == ["two words", "words two"]


def test_the_gate_silences_a_passage():
    """Weights 0 and bias -3 give every passage sigmoid(-3) = 0.05, under a fifth of 0.5: not even written names count.

    At bias -2, 0.12, a name counts that the encoder means as well; at -0.5, 0.38, one that can mean nothing else.
    """
    shut = Gate(np.zeros(4096, np.float32), -3.0, 0.5)
    assert tiny_finder(gate=shut).find_skills("You bake bread. SQL folks.") == []
    nearly_shut = tiny_finder(gate=Gate(np.zeros(4096, np.float32), -2.0, 0.5))
    assert labels(nearly_shut.find_skills("You bake bread. Our SQL team is here for you all.")) == []
    assert labels(nearly_shut.find_skills("You bake bread. SQL folks.", threshold=0.5)) == ["SQL"]
    ajar = Gate(np.zeros(4096, np.float32), -0.5, 0.5)
    assert labels(tiny_finder(gate=ajar).find_skills("You bake bread. SQL folks.")) == ["SQL"]
    open_gate = Gate(np.zeros(4096, np.float32), 2.0, 0.5)
    assert set(labels(tiny_finder(gate=open_gate).find_skills("You bake bread. SQL."))) == {
        "bake bread in ovens",
        "SQL",
    }


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"text": "x", "top_k": 0}, "top_k"),
        ({"text": "x", "threshold": 2.0}, "threshold"),
        ({"text": "x", "fusion": "magic"}, "fusion"),
        ({"text": None}, "NoneType"),
        ({"text": "x" * 1_000_001}, "1,000,001"),
    ],
)
def test_bad_arguments_are_named(finder, arguments, names):
    with pytest.raises(SkillFinderError, match=names):
        finder.find_skills(**arguments)


def test_one_text_in_place_of_a_list_is_refused(finder):
    with pytest.raises(SkillFinderError, match="list of texts"):
        finder.find_skills_batch("You bake bread")


def test_word_encoder_is_what_the_arithmetic_says():
    vectors = WordEncoder().encode(["a b", "b c d"])
    assert vectors[0] @ vectors[1] == 1.0


def test_ads_may_come_from_a_generator():
    texts = ["You bake bread", "Know SQL"]
    finder = tiny_finder()
    assert finder.find_skills_batch(text for text in texts) == finder.find_skills_batch(texts) != [[], []]


def test_half_a_skill_is_no_number_of_them():
    for value in (2.5, True, 0):
        with pytest.raises(SkillFinderError, match="whole number"):
            tiny_finder().find_skills("You bake bread", top_k=value)
    assert len(tiny_finder().find_skills("You bake bread in ovens", top_k=np.int64(1))) == 1
