"""Publish the page: the files that it needs and no others; one commit, read back, then its tag.

python -m space.publish --dry-run
python -m space.publish

The page then runs on the model of the same namespace and version, which its files name, or on the one that --model
names, which becomes a variable of the Space.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import run_command
from dataset_builder.hub import MODEL_REPO, SPACE_REPO, project_version
from dataset_builder.hub_command import Artifact, Published, add_publish_options, run_publish
from dataset_builder.hub_errors import hub_errors

SPACE_FOLDER = Path(__file__).resolve().parent
ENTRY = "app.py"
# What app.py reads to know its model.
MODEL_VARIABLE = "SKILL_FINDER_MODEL"
_NAMED = "the model in model.txt"
# A file that only this page has: app.py is in every Space.
MARKER = "skill_finder.py"
_BESIDE_CODE = (
    *("README.md", "requirements.txt", "page.css", "page_frame.css", "page.js", "sample_skills.csv"),
    "stock_minilm.json",
)
_EXAMPLES = "examples/*.txt"


def files_of_page(folder: Path = SPACE_FOLDER) -> list[str]:
    """The page's files: app.py, every module of the folder that it imports, its card, looks and examples."""
    waiting, taken = [ENTRY], set(_BESIDE_CODE)
    while waiting:
        name = waiting.pop()
        if name in taken:
            continue
        taken.add(name)
        waiting += [f"{module}.py" for module in _imports(folder / name) if (folder / f"{module}.py").is_file()]
    return sorted(taken | {path.relative_to(folder).as_posix() for path in folder.glob(_EXAMPLES)})


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def name_model(published: Published, model: str) -> None:
    """Set the Space's variable that goes before the model its files name; without `model`, say so where one is set.

    Raises:
        StageError: the Hub refused.
    """
    with hub_errors(published.repo_id):
        variables = published.api.get_space_variables(published.repo_id)
        known = variables[MODEL_VARIABLE].value if MODEL_VARIABLE in variables else ""
        # A change restarts the Space.
        if model and known != model:
            published.api.add_space_variable(published.repo_id, MODEL_VARIABLE, model)
    if known and not model:
        sys.stdout.write(f"it runs on {known}, which its variable {MODEL_VARIABLE} names: remove it for {_NAMED}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m space.publish", description="Publish the page as a Space.")
    add_publish_options(parser, SPACE_REPO)
    parser.add_argument("--model", help=f"model that it runs on (default: NAMESPACE/{MODEL_REPO}@TAG)")
    options = parser.parse_args(arguments)
    artifact = Artifact("space", SPACE_FOLDER, project_version(), MARKER, files_of_page(), "gradio", MODEL_REPO)
    if published := run_publish(artifact, options):
        name_model(published, options.model or "")


if __name__ == "__main__":
    sys.exit(run_command(main))
