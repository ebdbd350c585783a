"""The commands of README and of the stages' pages exist: every module, flag, make target and linked file."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PLACES = (".", "dataset_builder", "dataset_builder/releases", "training", "eval", "model_card")
PAGES = [REPO / place / "README.md" for place in PLACES]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
SHELL_BLOCKS = re.findall(r"```(?:bash|sh|shell)\n(.*?)```", TEXT, flags=re.DOTALL)
LINES = [line for block in SHELL_BLOCKS for line in block.replace("\\\n", " ").splitlines()]


def module_commands() -> list[tuple[str, tuple[str, ...]]]:
    """(module, its words) of each `python -m module` or `accelerate launch ... -m module` in README."""
    found = []
    for line in LINES:
        words = shlex.split(line, comments=True)
        if "-m" in words and any(word.endswith(("python", "accelerate")) for word in words[: words.index("-m")]):
            place = words.index("-m")
            found.append((words[place + 1], tuple(words[place + 2 :])))
    return found


@cache
def help_of(module: str, *subcommand: str) -> str:
    command = [sys.executable, "-m", module, *subcommand, "--help"]
    shown = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_there_are_commands():
    assert len(module_commands()) >= 4
    assert any("make demo" in line for line in LINES)
    assert any("make test" in line for line in LINES)


@pytest.mark.parametrize(("module", "words"), sorted(set(module_commands())), ids=lambda value: str(value)[:60])
def test_command_exists_with_its_flags(module: str, words: tuple[str, ...]):
    if module.split(".")[0] in {"venv", "pip", "http"}:
        return
    shown = help_of(module)
    if words and re.search(rf"{{[a-z,]*\b{re.escape(words[0])}\b[a-z,]*}}", shown):
        shown += help_of(module, words[0])
    known = set(re.findall(r"--[a-z0-9][a-z0-9-]*", shown))
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    assert used <= known, f"python -m {module} has no {sorted(used - known)}"


def test_the_first_lines_of_python_find_skills():
    block, shown = re.findall(r"```python\n(.*?)```\n+```\n(.*?)```", TEXT, flags=re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", block], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("  http://data.europa.eu/esco/skill/" in line for line in lines)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(), flags=re.MULTILINE))
    named = {match for line in LINES for match in re.findall(r"\bmake ([a-z]+)", line)}
    assert named <= targets


def flags_of(words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Each flag with its values."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        if word.startswith("--"):
            flag, found[word] = word, ()
        elif found:
            found[flag] += (word,)
    return found


def test_make_trains_the_models_as_the_commands_do():
    """The commands of `make static student mpnet` are commands of README, with the same flags and values."""
    places = ["DATA=$DATA", "ESCO=$DATA/esco/v1.1.0_*.zip", "MINILM=$MINILM", "MPNET=$MPNET"]
    asked = [place.replace("$", "$$") for place in places]
    command = ["make", "--dry-run", "--always-make", "static", "student", "mpnet", *asked]
    shown = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    lines = shown.stdout.replace("\\\n", " ").splitlines()
    made = [line.split(" -m ", 1)[1].split() for line in lines if " -m training." in line]
    assert [module for module, *_ in made] == [
        *("training.pseudo_labels", "training.train", "training.export", "training.train"),
        *("training.pseudo_labels", "training.train", "training.train"),
    ]
    known = [(module, flags_of(words)) for module, words in module_commands()]
    for module, *words in made:
        assert (module, flags_of(tuple(words))) in known


def test_no_place_for_a_table_is_empty():
    parts = re.findall(r"^<!-- ([\w-]+) -->\n(.*?)^<!-- /\1 -->", TEXT, flags=re.DOTALL | re.MULTILINE)
    assert len(parts) >= 5
    assert [name for name, table in parts if not table.strip()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\(([^)#][^)]*)\)|(?:src|srcset)=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
    local = [link.split("#")[0] for pair in links for link in pair if link and "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []
