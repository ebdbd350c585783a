"""Skills left with too few sentences are asked about again, the same way each time, and the sums still match."""

import pytest

from dataset_builder import build
from dataset_builder.build_options import parse_options
from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease, Occupation, Skill
from dataset_builder.journal import Journal
from dataset_builder.plan import Endpoint, Sampling, ask_again, make_plan
from dataset_builder.rounds import asks_of_rounds, generation_of, short_skills
from dataset_builder.schema import DatasetManifest
from dataset_builder.sentences import Sentence
from dataset_builder.stub_server import StubBehaviour, StubServer
from dataset_builder.taxonomy_csv import read_label_space

SKILLS = tuple(Skill(uri=f"urn:{n}", label=f"label {n}") for n in range(6))
PAIR = Occupation(uri="urn:o", label="o", essential_skills=("urn:0", "urn:1"))
RELEASE = EscoRelease(version="1", language="en", skills=SKILLS, occupations=(PAIR,))
FILES = ("pairs/train.parquet", "pairs/validation.parquet", "skills/skills.parquet")


def keys(plan):
    return [ask.key(Endpoint("http://x/v1", "m"), Sampling(), 0) for ask in plan.asks]


def test_skills_with_fewer_sentences_are_counted_with_co_mentions():
    """Skill 0 has two sentences, skill 1 one of its own and one beside skill 0, skill 2 one, the others none."""
    accepted = [
        Sentence("a", SKILLS[:2], "duty", "co-mention"),
        Sentence("b", SKILLS[:1], "duty", "styled"),
        Sentence("c", SKILLS[1:2], "duty", "styled"),
        Sentence("d", SKILLS[2:3], "duty", "styled"),
    ]
    assert short_skills(SKILLS, accepted, 2) == list(SKILLS[2:])
    assert short_skills(SKILLS, accepted, 0) == []


def test_what_is_asked_again_is_what_a_larger_plan_asks():
    """6 skills in 1 request each; then 2 of them again, and 1 of them a third time: parts 1 and 2 of a larger plan."""
    first = make_plan(RELEASE, {"styled": 4})
    second = ask_again(first, RELEASE, ["styled"], 13, SKILLS[2:4])
    third = ask_again(second, RELEASE, ["styled"], 13, SKILLS[3:4])
    assert [(ask.skills[0].uri, ask.part) for ask in third.asks[6:]] == [("urn:2", 1), ("urn:3", 1), ("urn:3", 2)]
    assert keys(third)[:6] == keys(first)
    assert len(set(keys(third))) == 9
    assert set(keys(third)) < set(keys(make_plan(RELEASE, {"styled": 12})))
    assert third.skills == first.skills


def test_the_family_that_asks_about_a_skill_alone_asks_again():
    plan = make_plan(RELEASE, {"co-mention": 2, "paper": 10})
    assert ask_again(plan, RELEASE, ["co-mention", "paper"], 13, SKILLS[5:]).asks[-1].family == "paper"
    alone = make_plan(RELEASE, {"co-mention": 2})
    # Skill 5 goes with no other, so there is nothing to ask.
    assert len(ask_again(alone, RELEASE, ["co-mention"], 13, (SKILLS[0], SKILLS[5])).asks) == len(alone.asks) + 1


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "skills.csv").write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(30)))
    given = ["--esco", tmp_path / "skills.csv", "--version", "0.1.0", "--model", "stub", "--provider", "stub"]
    given += ["--asks-again", "0", "--concurrency", "4", "--max-tries", "40"]
    return lambda out, url, *more: [str(one) for one in [*given, "--out", tmp_path / out, "--base-url", url, *more]]


# Without asking again for a bad reply, two in five skills get fewer than two lines.
BAD = StubBehaviour(fault_share=0.4, faults=("fewer lines", "refusal"), seed=5)


def test_skills_with_few_sentences_are_asked_again_and_the_manifest_counts_them(arguments, tmp_path, capsys):
    with StubServer(BAD) as server:
        build.main(arguments("d", server.url, "--at-least", "2", "--rounds", "9"))
        asked = server.requests
    out = capsys.readouterr().out
    assert "skills have fewer than 2 sentences and are asked about again" in out
    manifest = DatasetManifest.load(tmp_path / "d")
    assert manifest.at_least == 2
    assert len(manifest.asked_again) >= 2
    assert manifest.asked_again == sorted(manifest.asked_again, reverse=True)
    # Every request is counted: 30 of the plan and those of each round.
    assert manifest.tokens.requests == 30 + sum(manifest.asked_again) == asked
    assert manifest.quality["coverage_two"] == 1.0
    skills = manifest.skills
    assert skills.accepted + sum(skills.rejected.values()) + sum(skills.failed.values()) == skills.requested == 30
    assert f"{manifest.asked_again[0]}, then {manifest.asked_again[1]}" in (tmp_path / "d/README.md").read_text()


def test_rounds_are_the_same_from_the_same_journal(arguments, tmp_path):
    journal = ["--journal", str(tmp_path / "j.sqlite"), "--at-least", "2", "--rounds", "9"]
    with StubServer(BAD) as server:
        build.main(arguments("a", server.url, *journal))
        asked = server.requests
        build.main(arguments("b", server.url, *journal))
        build.main(arguments("c", server.url, *journal, "--journal-only"))
        assert server.requests == asked
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    assert DatasetManifest.load(tmp_path / "a").asked_again == DatasetManifest.load(tmp_path / "c").asked_again


def test_rounds_end_and_the_skill_has_its_outcome(arguments, tmp_path):
    """Two rounds at most; a server that refuses half of all leaves some skills without a line."""
    with StubServer(StubBehaviour(fault_share=0.6, faults=("refusal",), seed=2)) as server:
        build.main(arguments("d", server.url, "--at-least", "1", "--rounds", "2"))
    manifest = DatasetManifest.load(tmp_path / "d")
    assert len(manifest.asked_again) == 2
    assert 0 < sum(manifest.skills.rejected.values()) == 30 - manifest.skills.accepted


def test_without_it_nothing_is_asked_again(arguments, tmp_path):
    with StubServer(BAD) as server:
        build.main(arguments("d", server.url))
        assert server.requests == 30
    manifest = DatasetManifest.load(tmp_path / "d")
    assert (manifest.at_least, manifest.asked_again) == (0, [])


def test_a_round_that_was_never_sent_is_none(arguments, tmp_path):
    """Built from the journal alone, the first round stands as it is: nothing counts as failed."""
    with StubServer(BAD) as server:
        build.main(arguments("d", server.url))
        more = ["--journal", str(tmp_path / "d.journal.sqlite"), "--journal-only", "--at-least", "2"]
        build.main(arguments("e", server.url, *more))
    manifest = DatasetManifest.load(tmp_path / "e")
    assert manifest.asked_again == []
    assert manifest.skills.failed == {}
    assert not (tmp_path / "e" / "failed_requests.jsonl").exists()


def test_a_round_after_the_budget_is_not_sent(arguments, tmp_path):
    with StubServer(BAD) as server:
        build.main(arguments("d", server.url))
        spent = DatasetManifest.load(tmp_path / "d").tokens
        budget = str(spent.prompt_tokens + spent.completion_tokens + 10)
        more = ["--journal", str(tmp_path / "d.journal.sqlite"), "--at-least", "2", "--budget-tokens", budget]
        with pytest.raises(StageError, match="the budget ends"):
            build.main(arguments("e", server.url, *more))
        assert server.requests == 30


def test_rounds_of_an_earlier_run_count_as_spent_whatever_is_asked_now(arguments, tmp_path):
    """Three rounds of 30 requests beside the first: four times as many tokens, with fewer rounds or none as well."""
    with StubServer() as server:
        build.main(arguments("d", server.url, "--at-least", "100", "--rounds", "3"))
        assert server.requests == 120
    spent = DatasetManifest.load(tmp_path / "d").tokens
    for now in (["--at-least", "100", "--rounds", "3"], ["--at-least", "100", "--rounds", "1"], []):
        more = ["--journal", str(tmp_path / "d.journal.sqlite"), *now, "--budget-tokens", "1000000"]
        options = parse_options(arguments("e", "http://127.0.0.1:9/v1", *more))
        release = read_label_space(options.esco, options.language)
        plan = make_plan(release, options.families, options.seed)
        with Journal(options.journal) as journal:
            later = asks_of_rounds(options, release, plan, journal)
            generation = generation_of(options, plan, journal, later)
            generation.missing()
        progress = generation.progress
        assert (progress.prompt_tokens, progress.completion_tokens) == (spent.prompt_tokens, spent.completion_tokens)


@pytest.mark.parametrize("flag", ["--at-least", "--rounds"])
def test_counts_below_zero_are_an_error(arguments, flag):
    with pytest.raises(StageError, match="must not be below 0"):
        build.main(arguments("d", "http://127.0.0.1:9/v1", flag, "-1"))
