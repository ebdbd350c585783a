"""Own lists of skills: whose they are, how many are kept and for how long, and lists made to fill the memory."""

import time

import pytest

from lexicon import Lexicon
from page_lists import FORGET_AFTER_S, LISTS_KEPT, OwnList, OwnLists
from page_service import PageError, PageService
from skill_index import Skill
from tests.tiny_finder import tiny_finder

ALIASES = "|".join(f"a{number}" for number in range(51))
MANY_ALIASES = ("id,label,aliases\n" + "".join(f"{number},x,{ALIASES}\n" for number in range(1000))).encode()


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def service_at(clock) -> PageService:
    return PageService(tiny_finder(), lists=OwnLists(clock))


def listed(*names: str) -> bytes:
    return ("id,label\n" + "".join(f"{number},{name}\n" for number, name in enumerate(names))).encode()


def test_an_own_list_finds_its_own_skills_and_the_page_stays_as_it_was():
    service = PageService(tiny_finder())
    own = service.own_list(b"id,label\nx,juggle torches\n")
    assert own.count == 1
    assert [match.uri for match in service.find("You juggle torches", own=own)] == ["x"]
    assert service.find("You juggle torches") == []


def test_the_same_list_is_encoded_once():
    service = PageService(tiny_finder())
    own = service.own_list(listed("juggle torches"))
    calls = len(service.finder.encoder.calls)
    assert service.own_list(listed("juggle torches")) == own
    assert len(service.finder.encoder.calls) == calls


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (listed(*["x"] * 5001), "5,001 skills; the page takes 5,000"),
        (b"\0\1", "CSV"),
        (MANY_ALIASES, "51,000 aliases; the page takes 50,000"),
    ],
)
def test_lists_that_the_page_does_not_take(data, says):
    with pytest.raises(PageError, match=says):
        PageService(tiny_finder()).own_list(data)


def test_lists_of_many_visitors_do_not_pile_up():
    """Sessions hold keys: what is not among the latest lists is gone, whoever still holds its key."""
    service = PageService(tiny_finder())
    keys = [service.own_list(listed(f"sing {number}")) for number in range(20)]
    assert len(service.lists) == LISTS_KEPT
    assert all(isinstance(key, OwnList) for key in keys)
    assert service.find("You sing 19", threshold=0.5, own=keys[-1])
    with pytest.raises(PageError, match="Open it again"):
        service.find("You sing 0", own=keys[0])


def test_the_list_in_use_is_not_the_one_that_goes():
    service = PageService(tiny_finder())
    first = service.own_list(listed("sing"))
    for number in range(LISTS_KEPT - 1):
        service.own_list(listed(f"dance {number}"))
    service.find("You sing", own=first)
    service.own_list(listed("whistle"))
    assert service.find("You sing", own=first)


def test_a_list_is_forgotten_after_its_hour_though_nobody_asks():
    clock = Clock()
    service = service_at(clock)
    own = service.own_list(listed("sing"))
    clock.now += FORGET_AFTER_S - 1
    assert service.find("You sing", own=own)
    clock.now += 2
    service.lists.forget_old()
    assert len(service.lists) == 0
    with pytest.raises(PageError, match="Open it again"):
        service.find("You sing", own=own)


def test_a_list_that_is_opened_again_has_another_hour():
    clock = Clock()
    service = service_at(clock)
    service.own_list(listed("sing"))
    clock.now += FORGET_AFTER_S - 1
    own = service.own_list(listed("sing"))
    clock.now += FORGET_AFTER_S - 1
    assert service.find("You sing", own=own)


def test_five_thousand_skills_of_one_name_do_not_stop_the_page():
    """Every word of the text is a name of each skill: 5,000 x 16,000 places without a limit."""
    lexicon = Lexicon([Skill(str(number), "aaaaa") for number in range(5000)])
    started = time.process_time()
    found = lexicon.find("aaaaa " * 16_000)
    assert len(found) == 20 * 16_000
    assert time.process_time() - started < 20


def test_a_shared_name_still_stands_for_each_of_its_skills():
    lexicon = Lexicon([Skill(str(number), f"name {number}", ("shared name",)) for number in range(20)])
    assert {found.skill for found in lexicon.find("a shared name")} == set(range(20))
