"""Own lists of skills: whose they are, how many are kept and for how long, and lists made to fill the memory."""

import time

import pytest

import page_lists
from lexicon import Lexicon
from page_lists import FORGET_AFTER_S, OwnList, OwnLists, bytes_of
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
        (f"id,label,aliases\n1,x,y\n2,sing,{'|'.join(map(str, range(101)))}\n".encode(), "sing has 101 aliases"),
        (MANY_ALIASES, "51,000 aliases; the page takes 50,000"),
    ],
)
def test_lists_that_the_page_does_not_take(data, says):
    with pytest.raises(PageError, match=says):
        PageService(tiny_finder()).own_list(data)


@pytest.fixture
def room_for_eight(monkeypatch):
    """Memory for eight lists of one skill of six letters, and half of a ninth."""
    service = PageService(tiny_finder())
    finder = service.lists.get(service.own_list(listed("sing 1")).key)
    monkeypatch.setattr(page_lists, "MAX_BYTES_KEPT", int(8.5 * bytes_of(finder)))


def test_lists_of_many_visitors_do_not_pile_up(room_for_eight):
    """Sessions hold keys: what is not among the latest lists is gone, whoever still holds its key."""
    service = PageService(tiny_finder())
    keys = [service.own_list(listed(f"sing {number}")) for number in range(20)]
    assert len(service.lists) == 8
    assert all(isinstance(key, OwnList) for key in keys)
    assert service.find("You sing 19", threshold=0.5, own=keys[-1])
    with pytest.raises(PageError, match="Open it again"):
        service.find("You sing 0", own=keys[0])


def test_the_list_in_use_is_not_the_one_that_goes(room_for_eight):
    service = PageService(tiny_finder())
    first = service.own_list(listed("sing 0"))
    for number in range(7):
        service.own_list(listed(f"hum {number}"))
    service.find("You sing 0", own=first)
    service.own_list(listed("hum 8"))
    assert len(service.lists) == 8
    assert service.find("You sing 0", own=first)


def test_one_list_over_the_limit_is_kept_alone(monkeypatch):
    monkeypatch.setattr(page_lists, "MAX_BYTES_KEPT", 1)
    service = PageService(tiny_finder())
    service.own_list(listed("sing"))
    assert service.find("You hum", own=service.own_list(listed("hum")))
    assert len(service.lists) == 1


def test_what_a_list_takes():
    """2 vectors of 4,096 x 4 bytes, 3 names of 500, and 4 x (ids 2 + labels 7 + alias 5 + type 4) = 18 letters."""
    service = PageService(tiny_finder())
    own = service.own_list(b"id,label,aliases,type\n1,sing,carol,tone\n2,hum,,\n")
    assert bytes_of(service.lists.get(own.key)) == 2 * 4096 * 4 + 3 * 500 + 4 * 18


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
