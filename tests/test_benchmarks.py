"""Benchmark files of each shape -> queries with gold sets; what is dropped, left out and refused."""

import json

import pytest

from dataset_builder.contract import StageError
from eval.benchmarks import load_benchmarks, with_empty_sentences
from eval.label_space import SkillNames
from eval.slices import slices_of

TECH = """sentence,span,sub_span,label
* Use Python,Python,," Python "
* Use Python,Python,,Python
* Use Python,x,,LABEL NOT PRESENT
"Reads, writes",x,,write reports
Nothing here,x,,UNDERSPECIFIED
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_folder_gives_the_benchmarks_of_the_split_in_a_fixed_order(tmp_path):
    """Five rows: Python twice is a set of one (its space stripped), one sentence has no usable label."""
    write(tmp_path, "tech_test.csv", TECH)
    write(tmp_path, "own_test.csv", "sentence,label\na,b\n")
    write(tmp_path, "house_test.csv", "sentence,label\na,b\n")
    write(tmp_path, "tech_validation.csv", "sentence,label\nz,b\n")
    found = load_benchmarks([str(tmp_path)], "test")
    assert [benchmark.name for benchmark in found] == ["TECH", "HOUSE", "OWN"]
    tech = found[0]
    assert [(query.sentence, query.labels) for query in tech.queries] == [
        ("* Use Python", ("Python",)),
        ("Reads, writes", ("write reports",)),
    ]
    assert tech.without_skill == ("Nothing here",)
    assert (tech.rows, tech.dropped_rows, tech.left_out) == (5, 2, 0)
    assert len(tech.data_sha256) == 64


@pytest.mark.parametrize("as_folder", [True, False])
def test_validation_leaves_out_what_test_holds(tmp_path, as_folder):
    write(tmp_path, "tech_test.csv", TECH)
    write(tmp_path, "house_test.csv", "sentence,label\nCan you use Perl?,Perl\n")
    rows = "* Use Python,Python\nNothing here,x\ncan  you use PERL ?,Perl\nNew,y\n"
    file = write(tmp_path, "tech_validation.csv", f"sentence,label\n{rows}")
    (found,) = load_benchmarks([str(tmp_path) if as_folder else file], "validation")
    assert [query.sentence for query in found.queries] == ["New"]
    assert found.left_out == 3


@pytest.mark.parametrize(("named", "split"), [("validation", "test"), ("test", "validation")])
def test_a_file_of_the_other_split_is_refused_with_the_remedy(tmp_path, named, split):
    file = write(tmp_path, f"tech_{named}.csv", TECH)
    with pytest.raises(StageError, match=rf"is of the split {named} by its name.*Give --split {named}"):
        load_benchmarks([f"OWN={file}"], split)
    assert load_benchmarks([write(tmp_path, "own.csv", "sentence,label\nNew,y\n")], split)[0].split == split


@pytest.mark.parametrize(("named", "split"), [("validation", "test"), ("test", "validation")])
def test_a_file_named_by_its_split_alone_is_of_that_split(tmp_path, named, split):
    file = write(tmp_path, f"{named}.csv", TECH)
    with pytest.raises(StageError, match=rf"is of the split {named} by its name.*Give --split {named}"):
        load_benchmarks([file], split)


@pytest.mark.parametrize("validation", ["validation.csv", "tech_validation.csv", "dev.csv"])
@pytest.mark.parametrize("test", ["test.csv", "tech_test.csv"])
def test_validation_leaves_out_test_however_the_files_are_named(tmp_path, validation, test):
    """Of two sentences one stands in the test file beside it; a file of another name is no test file."""
    write(tmp_path, test, "sentence,label\nUse Python,Python\n")
    write(tmp_path, "contest.csv", "sentence,label\nNew,y\n")
    file = write(tmp_path, validation, "sentence,label\nuse python!,Python\nNew,y\n")
    (found,) = load_benchmarks([file], "validation")
    assert [query.sentence for query in found.queries] == ["New"]
    assert found.left_out == 1


def test_validation_that_test_holds_whole_is_refused(tmp_path):
    write(tmp_path, "tech_test.csv", TECH)
    write(tmp_path, "tech_validation.csv", TECH)
    with pytest.raises(StageError, match="all 2 validation queries of TECH stand in a test split as well"):
        load_benchmarks([str(tmp_path)], "validation")


def test_skillskape_lists(tmp_path):
    """Two skills, one of them twice and a third that ESCO lacks; an empty list, and a list of such a skill alone."""
    text = """,sentence,skills
0,First,"['a', 'b, c', 'UNK', 'a']"
1,Second,[]
2,Third,['UNK']
"""
    (tmp_path / "skillskape").mkdir()
    file = write(tmp_path / "skillskape", "dev.csv", text)
    (found,) = load_benchmarks([file], "test")
    assert found.name == "SKILLSKAPE-DEV"
    assert [query.labels for query in found.queries] == [("a", "b, c")]
    assert found.without_skill == ("Second", "Third")
    assert (found.rows, found.dropped_rows) == (6, 3)


def test_skill_xl_counts_relevant_rows_only(tmp_path):
    text = """ID,subset,title,sentence,relevant,cluster,skill
1,x,Cook,Bakes bread,True,1,bake goods
1,x,Cook,Bakes bread,False,1,sell goods
2,x,Cook,Smiles,False,1,sell goods
"""
    (found,) = load_benchmarks([f"SKILL-XL={write(tmp_path, 'xl.csv', text)}"], "test")
    assert found.name == "SKILL-XL"
    assert [query.labels for query in found.queries] == [("bake goods",)]
    assert found.without_skill == ("Smiles",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence,skill\na,b\n", "has no columns 'sentence' and 'label'"),
        ("sentence,skills\na,b\n", "row 1: column 'skills' is not a list of labels: 'b'"),
        ("sentence,skills\na,\"['b', 3]\"\n", "row 1: column 'skills' is not a list of labels"),
        ("sentence,skills\na,['b' 'c']\n", r"row 1: column 'skills' is not a list of labels: \"\['b' 'c'\]\""),
        ("sentence,label\na,b\n ,b\n", "row 2: there is no sentence"),
        ("sentence,label\na\n", "line 2: the row ends before column 'label'"),
        ("sentence,label\na,b,c\n", "line 2: more cells than columns"),
        ("sentence,label\na,LABEL NOT PRESENT\n", "has no sentence with a label"),
        ("", "holds no row"),
        ("sentence,label\n", "holds no row"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path, text, message):
    file = write(tmp_path, "x.csv", text)
    with pytest.raises(StageError, match=message) as refused:
        load_benchmarks([file], "test")
    assert file in str(refused.value)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"sentence,label\n\xff\xfe,b\n")
    with pytest.raises(StageError, match=r"x\.csv line \d is not UTF-8 text"):
        load_benchmarks([str(tmp_path / "x.csv")], "test")


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(StageError, match=r"no file such as tech_test\.csv"):
        load_benchmarks([str(tmp_path)], "test")
    with pytest.raises(StageError, match=r"gone\.csv does not exist"):
        load_benchmarks([str(tmp_path / "gone.csv")], "test")
    with pytest.raises(StageError, match="nowhere does not exist"):
        load_benchmarks(["nowhere"], "test")


def test_two_benchmarks_of_one_name_are_refused(tmp_path):
    file = write(tmp_path, "tech_test.csv", TECH)
    with pytest.raises(StageError, match="two benchmarks are named TECH"):
        load_benchmarks([file, file], "test")
    assert [b.name for b in load_benchmarks([file, f"AGAIN={file}"], "test")] == ["TECH", "AGAIN"]


def test_hub_datasets_are_read_by_split(monkeypatch):
    """The three by the word hub: a dataset without the split (TECHWOLF has no validation) is left out."""
    asked = []

    def load(name, revision=None):
        asked.append((name, revision))
        rows = {"test": [{"sentence": "a", "label": "b"}]}
        if not name.endswith("techwolf"):
            rows["validation"] = [{"sentence": "a", "label": "b"}, {"sentence": "c", "label": "d "}]
        return rows

    monkeypatch.setattr("datasets.load_dataset", load)
    found = load_benchmarks(["hub"], "validation")
    assert [(b.name, b.queries[0].labels, b.left_out) for b in found] == [("TECH", ("d",), 1), ("HOUSE", ("d",), 1)]
    (own,) = load_benchmarks(["someone/my-set@v2"], "test")
    assert own.name == "MY-SET"
    assert asked[-1] == ("someone/my-set", "v2")
    with pytest.raises(StageError, match="has no split 'validation'"):
        load_benchmarks(["x/techwolf"], "validation")


def test_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def refuse(name, revision=None):
        raise ConnectionError("no way")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(StageError, match=r"TechWolf/skill-extraction-tech cannot be opened \(no way\)"):
        load_benchmarks(["hub"], "test")


def test_skillspan_sentences_without_skills_are_added_by_source(tmp_path):
    """One sentence has a skill tag, one is known already, one is of another source: one is added."""
    rows = [
        {"tokens": ["We", "hire"], "tags_skill": ["O", "O"], "tags_knowledge": ["O", "O"], "source": "tech"},
        {"tokens": ["Use", "C"], "tags_skill": ["O", "O"], "tags_knowledge": ["O", "B"], "source": "tech"},
        {"tokens": ["Nothing", "here"], "tags_skill": ["O", "O"], "tags_knowledge": ["O", "O"], "source": "tech"},
        {"tokens": ["Else"], "tags_skill": ["O"], "tags_knowledge": ["O"], "source": "house"},
    ]
    file = write(tmp_path, "span.json", "\n".join(map(json.dumps, rows)))
    benchmarks = load_benchmarks([write(tmp_path, "tech_test.csv", TECH)], "test")
    assert with_empty_sentences(benchmarks, file)[0].without_skill == ("Nothing here", "We hire")
    # What was left out of validation, since test holds it, does not come back this way.
    validation = write(tmp_path, "tech_validation.csv", "sentence,label\nSee you,x\n")
    (found,) = load_benchmarks([validation], "validation")
    assert with_empty_sentences([found], file)[0].without_skill == ("We hire",)
    with pytest.raises(StageError, match="line 1: not a SkillSpan line"):
        with_empty_sentences(benchmarks, write(tmp_path, "wrong.json", '{"tokens": []}'))


def test_slices_of_queries(tmp_path):
    """Python stands in its sentence; write reports does not, but its alternative label does in the third."""
    rows = "sentence,label\n* Use Python,Python\nTell me,write reports\nmake  Reports!,write reports\nTell me,Python\n"
    (benchmark,) = load_benchmarks([write(tmp_path, "x.csv", rows)], "test")
    names = SkillNames(
        labels=("Python", "write reports"),
        source="",
        version="",
        uris=("http://data.europa.eu/esco/skill/a", "http://data.europa.eu/esco/skill/b"),
        types=("knowledge", "competence"),
        alternative_labels=((), ("make reports",)),
    )
    slices = slices_of(benchmark.queries, names, held_out_folds=range(10))
    assert slices["form"] == {"bullet": [0], "no bullet": [1, 2]}
    assert slices["mention"] == {"implicit": [1], "literal": [0, 2]}
    assert slices["gold skills"] == {"1": [0, 2], "2": [1]}
    assert slices["skill type"] == {"competence": [2], "knowledge": [0], "mixed": [1]}
    assert slices["training"] == {"unseen": [0, 1, 2]}
    assert "training" not in slices_of(benchmark.queries, names)
