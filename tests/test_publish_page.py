"""Which files make the page, and what its name is taken by."""

import shutil
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from space.publish import MARKER, SPACE_FOLDER, files_of_page
from tests.test_layering import imported_modules


def test_only_what_the_page_needs_is_sent(tmp_path):
    """A list of applicants, or results, that somebody left in the folder stay where they are."""
    copy = shutil.copytree(SPACE_FOLDER, tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__"))
    for stray in ("applicants.csv", "results/ads.json", "notes.txt", "examples/mine.csv"):
        (copy / stray).parent.mkdir(exist_ok=True)
        (copy / stray).write_text("stray")
    assert files_of_page(copy) == files_of_page()


@pytest.mark.parametrize("name", ["README.md", "requirements.txt", "page.css", "page.js", "stock_minilm.json", MARKER])
def test_what_it_needs_is_there(name):
    assert name in files_of_page()
    assert all((SPACE_FOLDER / file).is_file() for file in files_of_page())


def test_no_other_space_is_taken_for_this_page():
    """Nearly every Space has an app.py."""
    assert MARKER not in ("app.py", "README.md", "requirements.txt")


def test_the_requirements_bring_every_library_of_the_page():
    """Each import of the page's files belongs to a package of requirements.txt, or to one that those install."""
    lines = (SPACE_FOLDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    brought = everything_that_comes_with(Requirement(line).name for line in lines if line.strip())
    packages = packages_distributions()
    missing = {}
    for file in files_of_page():
        if not file.endswith(".py"):
            continue
        for module in {name.split(".")[0] for name in imported_modules(SPACE_FOLDER / file)}:
            is_ours = (SPACE_FOLDER / f"{module}.py").is_file()
            if module in sys.stdlib_module_names or is_ours:
                continue
            if not {canonicalize_name(name) for name in packages.get(module, ())} & brought:
                missing[file] = module
    assert missing == {}
    assert "gradio" in brought
    assert "ray" not in brought


def everything_that_comes_with(names) -> set[str]:
    """The packages and all that they require without extras, as they are installed here."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # for another system, or the stock encoder, which is no part of the tests
            continue
        waiting += [
            canonicalize_name(one.name) for one in needed if not one.marker or one.marker.evaluate({"extra": ""})
        ]
    return found
