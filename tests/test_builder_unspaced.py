"""Chinese, Japanese and Thai, which are written without spaces: every step that counts words counts characters."""

import pytest

from dataset_builder import build, stub_server
from dataset_builder.benchmark_overlap import NEAR_REASON, copies_of
from dataset_builder.esco import Skill
from dataset_builder.filters import check_length, leaks, normal_form
from dataset_builder.languages import name_of
from dataset_builder.near_duplicates import REASON, Report, drop_near_duplicates
from dataset_builder.prompts import describe
from dataset_builder.quality import measure
from dataset_builder.schema import DatasetManifest
from dataset_builder.sentences import Sentence
from dataset_builder.words import is_unspaced, joined, words_of

PLAN, PYTHON = Skill("urn:1", "预算规划"), Skill("urn:2", "Python")


def sentence(text, *skills):
    return Sentence(text, skills or (PLAN,), "duty", "styled")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("You plan C++, daily.", ["You", "plan", "C++,", "daily."]),
        ("Müssen Sie über 5 €\u00a0planen?", ["Müssen", "Sie", "über", "5", "€", "planen?"]),
        ("您规划预算。", ["您", "规", "划", "预", "算"]),
        ("熟悉Python和C++", ["熟", "悉", "Python", "和", "C++"]),
        ("サーバー管理", list("サーバー管理")),
        ("วางแผน", list("วางแผน")),
        ("Two years with 冲洗ing film", ["Two", "years", "with", "冲洗ing", "film"]),
        ("비용을 계획합니다", ["비용을", "계획합니다"]),
        ("", []),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


def test_joined_words_have_spaces_only_where_their_scripts_do():
    assert joined(["plan", "预", "算", "sql"]) == "plan 预算 sql"
    assert (is_unspaced("我们用SQL和预算"), is_unspaced("the word 茶 means tea"), is_unspaced("")) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("您每年为我们的三家诊所规划预算、并向董事会解释差异。", None),
        ("* 费用规划和月度财务报告", None),
        ("คุณวางแผนค่าใช้จ่ายประจำปีของคลินิก", None),
        ("您", "too short"),
        ("您规划预算" * 33, "too long"),  # 165 characters
    ],
)
def test_length(text, reason):
    assert check_length(sentence(text)) == reason


@pytest.mark.parametrize(
    ("text", "skill", "expected"),
    [
        ("您负责诊所的预算规划和报告。", PLAN, True),
        ("您负责诊所的预算和规划。", PLAN, False),
        ("熟悉Python编程", PYTHON, True),
        ("熟悉Pythonista编程", PYTHON, False),
    ],
)
def test_a_leak_is_the_label_whatever_stands_beside_it(text, skill, expected):
    assert leaks(sentence(text, skill)) is expected


def test_near_duplicates_of_other_skills_and_of_benchmarks():
    """One character of 22 differs in the second: 1 - 2/44 = 95 of 100. Of the third nearly all do."""
    first, second = "您每年为我们的三家诊所规划预算并向董事会解释", "您每年为我们的两家诊所规划预算并向董事会解释"
    other = "照看马匹、清洁马厩、发现疾病的迹象及时报告。"
    report = Report()
    given = [sentence(first), sentence(second, PYTHON), sentence(other, PYTHON)]
    assert drop_near_duplicates(given, report) == [given[0], given[2]]
    assert report.rejected == {REASON: 1}
    assert copies_of([second, other], [normal_form(first)]) == [NEAR_REASON, None]


def test_quality_counts_characters():
    """4 + 6 characters: 5 on average; 2 + 4 trigrams, of which 规划预 and 划预算 are in both: 4 of 6 differ."""
    figures = measure([sentence("规划预算"), sentence("您规划预算吗？")], 1)  # noqa: RUF001
    assert (figures["mean_words"], figures["distinct_trigrams"]) == (5.0, 4 / 6)


def test_descriptions_are_cut_by_characters_at_a_sentences_end_where_one_is_near():
    """Of 80 characters 60 are kept; a full stop at the 41st is past the half, one at the 11th is not."""
    assert describe(Skill("1", "预算", description="规" * 80)) == f"预算 ({'规' * 60})"
    assert describe(Skill("1", "预算", description="规" * 40 + "。" + "划" * 39)) == f"预算 ({'规' * 40})"
    assert describe(Skill("1", "预算", description="规" * 10 + "。" + "划" * 69)) == f"预算 ({'规' * 10}。{'划' * 49})"
    assert describe(Skill("1", "预算", description="规划预算。")) == "预算 (规划预算)"


@pytest.mark.parametrize("description", [".", " ... ", ""])
def test_a_description_of_marks_alone_leaves_no_brackets(description):
    assert describe(Skill("1", "wound care", description=description)) == "wound care"


def test_a_chinese_dataset(tmp_path, monkeypatch):
    """2 skills x 4 lines that differ in one word; none is rejected for its length, its language or the label."""
    about = {"马匹": "母马", "面包房": "烤炉"}
    ways = ("您每年为诊所规划{}的费用。", "照看{}并且及时报告。", "费用规划、{}、月度报告", "{}的工作由您负责到底。")

    def chinese(request, lines, _=None):
        what = about[request["messages"][-1]["content"].removeprefix("Skill: ")]
        return "\n".join(f"{number}、{way.format(what)}" for number, way in enumerate(ways, 1))

    monkeypatch.setattr(stub_server, "reply_text", chinese)
    (tmp_path / "own.csv").write_text("id,label\n1,马匹\n2,面包房\n", encoding="utf-8")
    given = ["--esco", tmp_path / "own.csv", "--language", "zh", "--version", "0.1.0", "--out", tmp_path / "d"]
    with stub_server.StubServer() as server:
        build.main([str(one) for one in [*given, "--base-url", server.url, "--model", "stub"]])
    manifest = DatasetManifest.load(tmp_path / "d")
    assert manifest.replies == {"as asked": 2}
    assert manifest.sentences_accepted + sum(manifest.sentences_rejected.values()) == 8
    assert not {"too short", "too long", "wrong language", "repeats the label"} & set(manifest.sentences_rejected)
    assert manifest.skills.accepted == 2
    assert all("Write the lines in Chinese." in prompt.system for prompt in manifest.prompts)


def test_common_languages_beside_those_of_esco_have_names():
    assert [name_of(code) for code in ("zh", "ja", "th", "ko")] == ["Chinese", "Japanese", "Thai", "Korean"]
    assert name_of("xx") == "the language with the code 'xx'"
