import re

from dataset_builder.esco import EscoRelease, Occupation, Skill
from tests.tiny_encoder import tiny_esco
from training.skill_lists import LAST, NOUN_LINES, SEPARATORS, VERB_LINES, list_skills


def release(occupations: tuple[Occupation, ...] = ()) -> EscoRelease:
    skills = (
        Skill("urn:1", "Java", ("Java 8",), skill_type="knowledge"),
        Skill("urn:2", "SQL", skill_type="knowledge"),
        Skill("urn:3", "debug software", ("fix bugs",), skill_type="skill/competence"),
    )
    return EscoRelease(version="1", language="en", skills=skills, occupations=occupations)


DEVELOPER = Occupation("urn:dev", "developer", ("urn:1", "urn:2", "urn:3"))


def test_a_skill_that_no_occupation_needs_stands_alone():
    lines = list(list_skills(release()))
    assert [line.labels for line in lines] == [("Java",), ("SQL",), ("debug software",)]
    assert any(lines[1].text == template.format("SQL") for template in NOUN_LINES)
    assert any(lines[2].text == t.format(name) for t in VERB_LINES for name in ("debug software", "fix bugs"))


def test_only_skills_of_one_occupation_and_type_are_listed_together():
    """Java's only fit partner is SQL, and the other way round; debugging software has none of its type."""
    java, sql, debug = list_skills(release((DEVELOPER,)))
    assert set(java.labels) <= {"Java", "SQL"}
    assert java.labels[0] == "Java"
    assert set(sql.labels) <= {"Java", "SQL"}
    assert sql.labels[0] == "SQL"
    assert debug.labels == ("debug software",)
    both = [line for line in list_skills(release((DEVELOPER,)), 20) if len(line.labels) > 1]
    assert both, "no list of two in sixty lines"


def test_every_label_of_a_list_stands_in_its_text():
    names = {"Java": ("Java", "Java 8"), "SQL": ("SQL",), "debug software": ("debug software", "fix bugs")}
    for line in list_skills(release((DEVELOPER,)), 20):
        for label in line.labels:
            assert any(name in line.text for name in names[label]), line


def test_lines_differ_and_are_the_same_again():
    lines = [line.text for line in list_skills(tiny_esco(), 4)]
    assert lines == [line.text for line in list_skills(tiny_esco(), 4)]
    first = lines[:4]
    assert len(set(first)) > 1
    assert all(template.count("{}") == 1 for template in NOUN_LINES + VERB_LINES)
    assert not any(re.search(r"[{}]", text) for text in lines)
    assert all(part.strip(" ,;/&andor") == "" for part in LAST + SEPARATORS)
