"""The model in model_card/releases as the page opens it: names it finds and leaves, and other languages."""

import pytest

import page_model

pytestmark = pytest.mark.skipif(page_model.newest_release() is None, reason="this clone holds no released model")


@pytest.fixture(scope="module")
def service():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SKILL_FINDER_MODEL", raising=False)
        yield page_model.open_service()


def labels(service, text: str) -> set[str]:
    return {match.label for match in service.find(text)}


def test_the_page_opens_the_newest_release(service):
    release = page_model.newest_release()
    assert service.finder.name == str(release)
    assert (service.version, service.note) == (f"esco-skill-biencoder {release.name.removeprefix('v')}", "")
    assert len(service.finder.index.skills) == 13_891


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("You write R every day.", {"R"}),
        ("Experience with R, SQL", {"R", "SQL"}),
        ("- SQL", {"SQL"}),
        ("Solid C++ skills", {"C++"}),
        ("You develop in C#", {"C#"}),
        ("HTML, CSS and JavaScript", {"CSS"}),
        ("Knowledge of LDAP and Active Directory", {"LDAP"}),
    ],
)
def test_a_short_name_is_found_where_it_is_written(service, text, wanted):
    """And none of the other short names."""
    short = {"R", "SQL", "C++", "C#", "CSS", "LDAP"}
    assert labels(service, text) & short == wanted
    for match in service.find(text):
        if match.label in wanted:
            assert text[match.evidence[0].start : match.evidence[0].end] == match.label


@pytest.mark.parametrize(
    "text",
    [
        "You work in our R&D department.",
        "Contact: J. R. Smith, personnel office",
        "This post is Grade R on our pay scale.",
        "Our office is in Block C, Floor 2.",
        "You hold a category C driving licence.",
        "CSS Group plc is a family business.",
        "You will go to customers.",
    ],
)
def test_a_letter_or_name_that_is_no_skill_is_not_one(service, text):
    assert labels(service, text).isdisjoint({"R", "C++", "C#", "C", "CSS"})


@pytest.mark.parametrize("text", ["Experience with Docker and Kubernetes", "You write services in Go.", "Docker", "Go"])
def test_a_name_that_esco_lacks_gives_nothing_under_the_threshold(service, text):
    assert "Docker" not in {skill.label for skill in service.finder.index.skills}
    least = service.finder.settings.threshold
    assert all(match.score >= least for match in service.find(text))
    assert labels(service, text).isdisjoint({"dock operations", "unload cargo", "play board games"})


@pytest.mark.parametrize(
    "text",
    [
        "Ihre Aufgaben: Sie pflegen und betreuen unsere Patienten. Sie führen Gespräche mit Angehörigen.",
        "Buscamos una persona con experiencia en atención al cliente y gestión de equipos.",
        "نبحث عن موظف لديه خبرة في إدارة المشاريع وخدمة العملاء.",
    ],
)
def test_an_ad_in_another_language_has_no_skills_rather_than_wrong_ones(service, text):
    assert service.find(text) == []


def test_one_language_is_not_another_in_a_comparison(service):
    found = service.compare("You write SQL. Good German and English.", "I write SQL. Good English.")
    assert {match.label for match in found.common} == {"SQL", "English"}
    assert "German" in {match.label for match in found.only_first}
