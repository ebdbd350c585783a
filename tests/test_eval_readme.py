"""What eval/README.md shows runs as it stands, and README's results table is what its command makes."""

import re
import shlex
import subprocess
import sys

import pytest

from dataset_builder.contract import run_command
from dataset_builder.markdown_parts import markers_of
from eval import compare
from eval.results import EvalResults


@pytest.fixture(scope="module")
def page(repo_path):
    return (repo_path / "eval" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def repo_path():
    from tests.conftest import REPO

    return REPO


@pytest.fixture
def workplace(tmp_path, repo_path):
    """A folder of one's own that sees the repository's code and files by the names that the page uses."""
    for name in ("eval", "dataset_builder", "training"):
        (tmp_path / name).symlink_to(repo_path / name)
    return tmp_path


def block_after(page: str, words: str, kind: str) -> str:
    """The first fenced block of a kind after some words."""
    found = re.search(rf"^```{kind}\n(.*?)^```", page[page.index(words) :], re.DOTALL | re.MULTILINE)
    assert found, words
    return found[1]


def run(command: str, folder) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["python", "-m"]
    return subprocess.run([sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True)


def test_a_system_in_ten_lines(page, workplace):
    code = block_after(page, "This is `mine.py`", "python")
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 10
    (workplace / "mine.py").write_text(code, encoding="utf-8")
    done = run(block_after(page, "This is `mine.py`", "bash"), workplace)
    assert done.returncode == 0, done.stderr
    record = EvalResults.load(workplace / "artifacts" / "shared_words.json")
    assert (record.system.name, record.system.kind) == ("shared words", "python")
    # Five labels of 125 taken blindly would hold one gold label in 25.
    assert record.benchmarks[0].metrics["rp@5"].low > 1 / 25


def test_a_benchmark_in_five_lines(page, workplace):
    """Two sentences, three gold labels, all of them in the sample's label space."""
    rows = block_after(page, "This is `cafes.csv`", "")
    assert len(rows.splitlines()) <= 5
    (workplace / "cafes.csv").write_text(rows, encoding="utf-8")
    done = run(block_after(page, "This is `cafes.csv`", "bash"), workplace)
    assert done.returncode == 0, done.stderr
    (found,) = EvalResults.load(workplace / "artifacts" / "cafes.json").benchmarks
    assert (found.name, found.queries, found.gold_labels, found.gold_missing) == ("CAFES", 2, 3, [])


def test_the_metrics_lines(page, repo_path):
    """The last line's comment is what it gives, with the folder taken from the repository's root."""
    code = block_after(page, "**The metric alone**", "python").replace("metric.compute(", "print(metric.compute(", 1)
    call, _, comment = code.strip().splitlines()[-1].partition("  # ")
    code = "\n".join([*code.strip().splitlines()[:-1], f"{call})"])
    done = subprocess.run([sys.executable, "-c", code], cwd=repo_path, capture_output=True, text=True)
    assert done.stdout.strip() == comment, done.stderr


def test_offline_command(page, repo_path, tmp_path):
    command = block_after(page, "Without a network", "bash").replace("artifacts/", f"{tmp_path}/")
    done = run(command, repo_path)
    assert done.returncode == 0, done.stderr
    assert "RP@5 by slice" in done.stdout


def compare_words(repo_path, ending: str) -> list[str]:
    """The words of README's one `eval.compare` command that has them, its files as a shell expands them."""
    text = (repo_path / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^python -m eval\.compare (results/.*)$", text, re.MULTILINE)
    (line,) = [line for line in lines if ending in line]
    files = [sorted(map(str, repo_path.glob(word))) or [word] for word in shlex.split(line)]
    return [word for part in files for word in part]


def test_results_table_of_the_readme_is_made_by_its_command(repo_path, tmp_path, capsys):
    """The command as README has it, into a copy: the same rows come out, and every measured value has an interval."""
    words = compare_words(repo_path, "--into README.md")
    copy = tmp_path / "README.md"
    copy.write_text((repo_path / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    words[words.index("--into") + 1] = str(copy)
    assert run_command(compare.main, words) == 0
    table, made = table_of(repo_path / "README.md"), table_of(copy)
    assert sorted(made) == sorted(table)
    rows = [line.split(" | ") for line in table if "| measured" in line]
    assert len(rows) > 1
    for row in rows:
        assert all(re.fullmatch(r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]|-", cell) for cell in row[1:-1])


def test_the_comparison_of_all_systems_is_made_by_its_command(repo_path, tmp_path, capsys):
    words = compare_words(repo_path, "--out results/comparison.md")
    del words[words.index("--figures") : words.index("--figures") + 2]
    words[words.index("--out") + 1] = str(tmp_path / "comparison.md")
    assert run_command(compare.main, words) == 0
    kept = (repo_path / "results" / "comparison.md").read_text(encoding="utf-8")
    made = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert made.splitlines() == kept.splitlines()
    first = {word for word in compare_words(repo_path, "--into README.md") if word.endswith(".json")}
    assert first < set(words)


def table_of(page) -> list[str]:
    text = page.read_text(encoding="utf-8")
    start, end = map(text.index, markers_of(compare.RESULTS))
    return text[start:end].splitlines()
