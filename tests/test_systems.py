"""Systems of one's own by module and name: what is opened, and what is refused in one line."""

import sys
from types import ModuleType

import pytest

from dataset_builder.contract import StageError
from eval.encoders import EncoderOptions
from eval.systems import open_system


class Fixed:
    """A system whose name cannot be set."""

    @property
    def name(self):
        return "fixed"

    def index(self, names):
        pass

    def scores(self, sentences):
        return [[0.0]] * len(sentences)


class Nameless(Fixed):
    name = None


class Sized(Fixed):
    def __init__(self, size):
        self.size = size


@pytest.fixture(autouse=True)
def mine(monkeypatch):
    module = ModuleType("mine")
    module.Fixed, module.Sized, module.Nameless = Fixed, Sized, Nameless
    monkeypatch.setitem(sys.modules, "mine", module)


def test_a_name_without_setter_is_kept_or_replaced_in_tables():
    assert open_system("python:mine:Fixed", EncoderOptions()).info.name == "fixed"
    assert open_system("python:mine:Fixed", EncoderOptions(), "ours").info.name == "ours"


def test_a_system_that_needs_arguments_is_refused():
    with pytest.raises(StageError, match=r"python:mine:Sized cannot be loaded \(.*'size'\). Write python:MODULE:NAME,"):
        open_system("python:mine:Sized", EncoderOptions())


def test_a_system_whose_name_is_no_text_is_refused_before_the_work():
    """The results hold the name, and they are written last."""
    with pytest.raises(StageError, match="python:mine:Nameless has the name None"):
        open_system("python:mine:Nameless", EncoderOptions())
