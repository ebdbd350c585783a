"""Plans: stable, breadth first, and about each skill alone; co-mentions come from occupations."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builder.co_mentions import CoMentions
from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease, Occupation, Skill, read_esco
from dataset_builder.plan import Endpoint, Sampling, make_plan, sample_skills, skills_in_file
from dataset_builder.prompt_families import FAMILIES, STYLES
from dataset_builder.prompts import describe

SKILLS = tuple(Skill(uri=f"urn:{number}", label=f"label {number}", description="Do it well.") for number in range(40))
BAKER = Occupation(uri="urn:o:baker", label="baker", essential_skills=("urn:0", "urn:1", "urn:2", "urn:missing"))
LONELY = Occupation(uri="urn:o:lonely", label="lonely", essential_skills=("urn:5",), optional_skills=("urn:0", "urn:7"))
RELEASE = EscoRelease(version="1.0", language="en", skills=SKILLS, occupations=(BAKER, LONELY))
REPO = Path(__file__).resolve().parent.parent
SAMPLE = "dataset_builder/sample_esco"
HERE = Endpoint("http://127.0.0.1:1/v1", "tiny")


def test_eight_lines_of_a_four_line_sheet_are_two_requests_and_breadth_comes_first():
    """40 skills x ceil(8 / 4) = 80 requests; the first 40 cover all 40 skills."""
    asks = make_plan(RELEASE, {"styled": 8}).asks
    assert len(asks) == 80
    assert [ask.skills[0].uri for ask in asks[:40]] == [skill.uri for skill in SKILLS]
    assert {ask.part for ask in asks[:40]} == {0}


def test_two_plans_are_the_same_requests_in_the_same_order():
    """Made anew from equal releases, in this process and in others, whose hash() of text differs."""
    families = {"styled": 8, "paper": 10, "co-mention": 4, "in-occupation": 4, "full-sentence": 12}
    release = read_esco(REPO / SAMPLE)
    plans = [make_plan(one, families) for one in (release, read_esco(REPO / SAMPLE))]
    assert list(plans[0].asks) == list(plans[1].asks)
    keys = [ask.key(HERE, Sampling(), 0) for ask in plans[0].asks]
    assert len(set(keys)) == len(keys) > 500
    code = (
        "from dataset_builder.esco import read_esco\n"
        "from dataset_builder.plan import Endpoint, Sampling, make_plan\n"
        f"plan = make_plan(read_esco({SAMPLE!r}), {families!r})\n"
        f"print(*[ask.key(Endpoint({HERE.base_url!r}, {HERE.model!r}), Sampling(), 0) for ask in plan.asks])\n"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], cwd=REPO, env=environment, capture_output=True, text=True)
        assert done.stdout.split() == keys, done.stderr


def test_the_parts_of_a_skill_use_different_sheets():
    asks = make_plan(RELEASE, {"styled": 8}).asks
    assert all(first.sheet != second.sheet for first, second in zip(asks[:40], asks[40:], strict=True))
    assert {ask.sheet for ask in asks[:40]} == {0, 1}


def test_a_larger_plan_holds_the_smaller_one():
    sampling = Sampling()
    small = {ask.key(HERE, sampling, 0) for ask in make_plan(RELEASE, {"styled": 4}, skills=SKILLS[:10]).asks}
    large = {ask.key(HERE, sampling, 0) for ask in make_plan(RELEASE, {"styled": 12, "paper": 10}).asks}
    assert len(small) == 10
    assert small < large


def test_the_key_depends_on_everything_that_the_answer_depends_on():
    """Ten changes, ten keys: server, model, temperature, top-p, length, JSON, attempt, seed, skill text, family."""
    ask = make_plan(RELEASE, {"styled": 4}).asks[0]
    other_seed = make_plan(RELEASE, {"styled": 4}, seed=14).asks[0]
    reworded = Skill(uri="urn:0", label="label 0", description="Do it badly.")
    changed_skill = make_plan(RELEASE, {"styled": 4}, skills=[reworded]).asks[0]
    paper = make_plan(RELEASE, {"paper": 10}).asks[0]
    keys = [
        ask.key(HERE, Sampling(), 0),
        ask.key(Endpoint("http://127.0.0.1:2/v1", "tiny"), Sampling(), 0),
        ask.key(Endpoint("http://127.0.0.1:1/v1", "large"), Sampling(), 0),
        ask.key(HERE, Sampling(temperature=0.1), 0),
        ask.key(HERE, Sampling(top_p=0.1), 0),
        ask.key(HERE, Sampling(tokens_per_line=9), 0),
        ask.key(HERE, Sampling(json_schema=True), 0),
        ask.key(HERE, Sampling(), 1),
        other_seed.key(HERE, Sampling(), 0),
        changed_skill.key(HERE, Sampling(), 0),
        paper.key(HERE, Sampling(), 0),
    ]
    assert len(set(keys)) == 11


@pytest.mark.parametrize("family", FAMILIES)
def test_the_key_is_the_hash_of_the_whole_request_as_json(family):
    """Journals of earlier versions are keyed by it, so it may never change."""
    endpoint, sampling = Endpoint("http://x/v1", 'a "model"', "prövider", "näme"), Sampling(0.5, 1.0, 16, True)
    for ask in make_plan(RELEASE, {family: 12}, seed=7).asks:
        sheet = FAMILIES[family].sheets[ask.sheet]
        prefix, user = ask.messages[:-1], ask.messages[-1]["content"]
        for attempt in (0, 2):
            text = f"7|{family}@{FAMILIES[family].version} {ask.skills[0].uri} #{ask.part}|{attempt}"
            seed = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) % 2**31
            request = [
                "prövider",
                "näme",
                hashlib.sha256(json.dumps(prefix).encode()).hexdigest(),
                user,
                [0.5, 1.0, 16 * len(sheet.styles) + 8, True],
                seed,
                attempt,
            ]
            assert ask.key(endpoint, sampling, attempt) == hashlib.sha256(json.dumps(request).encode()).hexdigest()


def test_skills_that_read_the_same_are_asked_about_separately_and_only_they_are_named_in_full():
    """Three ids end in 7: the second reads as the first does and gets a name and a key of its own, the third does not.

    Without the second, the keys of the others are the same.
    """
    first, second, third = (Skill(f"urn:{n}/7", label) for n, label in enumerate(("law", "law", "tax law")))
    releases = [dataclasses.replace(RELEASE, skills=some) for some in ((first, second, third), (first, third))]
    plans = [make_plan(release, {"paper": 10}).asks for release in releases]
    keys = [[ask.key(HERE, Sampling(), 0) for ask in asks] for asks in plans]
    assert len(set(keys[0])) == 3
    assert keys[1] == [keys[0][0], keys[0][2]]
    assert [ask.about for ask in plans[0]] == ["paper@1.0 7 #0", "paper@1.0 urn:1/7 #0", "paper@1.0 7 #0"]


def test_a_named_provider_lets_a_journal_move_to_another_port_and_folder():
    ask = make_plan(RELEASE, {"styled": 4}).asks[0]
    one = Endpoint("http://127.0.0.1:1/v1", "/a/model", provider="mine", model_name="tiny")
    two = Endpoint("http://10.0.0.2:9/v1", "/b/model", provider="mine", model_name="tiny")
    assert ask.key(one, Sampling(), 0) == ask.key(two, Sampling(), 0)


def test_a_slash_at_the_end_of_the_address_is_no_other_server():
    ask = make_plan(RELEASE, {"styled": 4}).asks[0]
    assert ask.key(Endpoint(f"{HERE.base_url}/", "tiny"), Sampling(), 0) == ask.key(HERE, Sampling(), 0)
    assert HERE.identity == ("http://127.0.0.1:1/v1", "tiny")


def test_a_sample_is_seeded_keeps_the_order_and_grows():
    small, large = sample_skills(RELEASE, 5, seed=1), sample_skills(RELEASE, 20, seed=1)
    assert len(small) == 5
    assert set(small) < set(large)
    assert list(large) == [skill for skill in SKILLS if skill in large]
    assert small != SKILLS[:5]
    assert sample_skills(RELEASE, 5, seed=2) != small


def test_a_file_names_skills(tmp_path):
    path = tmp_path / "skills.txt"
    path.write_text("urn:7\n\nurn:3\n")
    assert [skill.uri for skill in skills_in_file(RELEASE, path)] == ["urn:3", "urn:7"]
    path.write_text("urn:7\nurn:nowhere\n")
    with pytest.raises(StageError, match="line 2: urn:nowhere"):
        skills_in_file(RELEASE, path)
    with pytest.raises(StageError, match="does not exist"):
        skills_in_file(RELEASE, tmp_path / "none.txt")
    path.write_text("urn:7\n", encoding="utf-8-sig")  # as Windows editors save it
    assert [skill.uri for skill in skills_in_file(RELEASE, path)] == ["urn:7"]
    path.write_text("urn:7\nurn:Öl\n", encoding="cp1252")
    with pytest.raises(StageError, match=r"skills\.txt is not UTF-8 text"):
        skills_in_file(RELEASE, path)


@pytest.mark.parametrize(("families", "words"), [({"poem": 4}, "no prompt family"), ({"styled": 0}, "at least 1")])
def test_a_plan_that_makes_no_sense_is_an_error(families, words):
    with pytest.raises(StageError, match=words):
        make_plan(RELEASE, families)


def test_a_limit_of_none_is_an_error():
    with pytest.raises(StageError, match="leaves none"):
        sample_skills(RELEASE, 0, seed=1)


def test_partners_are_essential_skills_of_one_occupation():
    """Skill 0 goes with 1 or 2 (the missing one is no skill); 5 is alone in its occupation; 9 is in none."""
    together = CoMentions(RELEASE)
    partners = together.partners_of(SKILLS[0], "13|0")
    assert 1 <= len(partners) <= 2
    assert {skill.uri for skill in partners} <= {"urn:1", "urn:2"}
    assert partners == together.partners_of(SKILLS[0], "13|0")
    assert together.partners_of(SKILLS[5], "13|0") == ()
    assert together.partners_of(SKILLS[9], "13|0") == ()


def test_a_co_mention_plan_asks_only_where_skills_go_together():
    asks = make_plan(RELEASE, {"co-mention": 2}).asks
    assert [ask.skills[0].uri for ask in asks] == ["urn:0", "urn:1", "urn:2"]
    assert all(len(ask.skills) > 1 for ask in asks)


def test_an_occupation_is_one_that_needs_the_skill_or_else_one_that_may_use_it():
    """Skill 0 is essential to the baker; 7 is only optional, to the lonely one; 9 is in none, so nothing is asked."""
    together = CoMentions(RELEASE)
    assert together.occupation_of(SKILLS[0], "13|0") == BAKER
    assert together.occupation_of(SKILLS[7], "13|0") == LONELY
    assert together.occupation_of(SKILLS[9], "13|0") is None
    asks = make_plan(RELEASE, {"in-occupation": 4}).asks
    assert [(ask.skills[0].uri, ask.occupation) for ask in asks] == [
        ("urn:0", "baker"),
        ("urn:1", "baker"),
        ("urn:2", "baker"),
        ("urn:5", "lonely"),
        ("urn:7", "lonely"),
    ]
    assert asks[0].messages[-1]["content"] == "Skill: label 0 (Do it well)\nField: baker"


def test_another_occupation_is_another_request():
    moved = EscoRelease("1.0", "en", SKILLS, (dataclasses.replace(BAKER, label="pastry baker"),))
    one, two = make_plan(RELEASE, {"in-occupation": 4}).asks[0], make_plan(moved, {"in-occupation": 4}).asks[0]
    assert one.key(HERE, Sampling(), 0) != two.key(HERE, Sampling(), 0)


@pytest.mark.parametrize("family", ["co-mention", "in-occupation"])
def test_a_plan_with_occupations_for_a_taxonomy_without_is_an_error(family):
    alone = EscoRelease(version="nursing", language="en", skills=SKILLS, occupations=(Occupation("urn:o", "o"),))
    with pytest.raises(StageError, match=rf"'{family}' needs occupations .* 'nursing' has none. Give ESCO's occ"):
        make_plan(alone, {"styled": 4, family: 2})


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_worked_examples_have_the_lines_that_their_sheet_asks_for(family):
    for sheet in family.sheets:
        assert set(sheet.styles) <= set(STYLES)
        for _, answer in sheet.examples:
            numbers = [line.split(". ")[0] for line in answer.split("\n")]
            assert numbers == [str(number + 1) for number in range(len(sheet.styles))]


def test_what_differs_comes_last():
    sheet = FAMILIES["styled"].sheets[0]
    one, two = sheet.messages([SKILLS[0]]), sheet.messages([SKILLS[1]])
    assert one[:-1] == two[:-1]
    assert one[-1] == {"role": "user", "content": "Skill: label 0 (Do it well)"}


def test_another_language_is_asked_for_and_has_keys_of_its_own():
    """The sheets are English: a German release adds one sentence to the system text, and English keys stay."""
    german = EscoRelease(version="1.0", language="de", skills=SKILLS)
    ask, english = make_plan(german, {"styled": 4}).asks[0], make_plan(RELEASE, {"styled": 4}).asks[0]
    system = english.messages[0]["content"]
    assert ask.messages[0]["content"] == f"{system} Write the lines in German."
    assert ask.messages[1:] == english.messages[1:]
    assert ask.key(HERE, Sampling(), 0) != english.key(HERE, Sampling(), 0)
    assert ask.prompt_tokens > english.prompt_tokens
    assert "with the code 'xx'" in FAMILIES["paper"].sheets[0].system_in("xx")


def test_a_description_is_cut_at_a_sentence_end_where_one_is_near():
    """Of ten words the first eight end a sentence in the second half; without one the words are cut at the bound."""
    skill = Skill(uri="u", label="bake", description="Mix flour and water well in a bowl. Then bake it hot today.")
    assert describe(skill, words=10) == "bake (Mix flour and water well in a bowl)"
    assert describe(Skill(uri="u", label="bake", description="one two three four"), words=2) == "bake (one two)"
    assert describe(Skill(uri="u", label="bake")) == "bake"


@pytest.mark.parametrize(
    ("family", "version", "sha256"),
    [
        ("styled", "1.0", "13604e19a696f77a"),
        ("paper", "1.0", "be68d68e798ba57b"),
        ("co-mention", "1.0", "3c4b4fa785dfeef9"),
        ("in-occupation", "1.1", "95ac283250b702fb"),
        ("full-sentence", "1.0", "93b8f40ec58f45ef"),
    ],
)
def test_a_changed_prompt_needs_a_new_version(family, version, sha256):
    """Journals of earlier runs are keyed by these texts: with other texts every reply is paid for again."""
    sheets = FAMILIES[family].sheets
    texts = [[sheet.readable(), sheet.user, *sheet.styles] for sheet in sheets]
    found = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
    assert (FAMILIES[family].version, found) == (version, sha256)


def test_skills_that_differ_in_one_field_stay_apart():
    """Their hash is that of the URI; whether they are the same is still a matter of every field."""
    one, other = Skill("urn:1", "plan", description="a"), Skill("urn:1", "plan", description="b")
    assert len({one, other, Skill("urn:1", "plan", description="a")}) == 2
    assert [describe(skill) for skill in (one, other, one)] == ["plan (a)", "plan (b)", "plan (a)"]
