"""Publish the page: the files that it needs and no others; one commit, read back, then its tag.

python -m space.publish --dry-run
python -m space.publish
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import run_command
from dataset_builder.hub import SPACE_REPO, project_version
from dataset_builder.hub_command import Artifact, add_publish_options, run_publish

SPACE_FOLDER = Path(__file__).resolve().parent
ENTRY = "app.py"
_BESIDE_CODE = ("README.md", "requirements.txt")
_ASSET_SUFFIXES = frozenset({".css", ".js", ".png", ".svg", ".txt", ".json", ".csv"})


def files_of_page(folder: Path = SPACE_FOLDER) -> list[str]:
    """The page's files: app.py, every module of the folder that it imports, its card, requirements and assets."""
    waiting, taken = [ENTRY], set(_BESIDE_CODE)
    while waiting:
        name = waiting.pop()
        if name in taken:
            continue
        taken.add(name)
        waiting += [f"{module}.py" for module in _imports(folder / name) if (folder / f"{module}.py").is_file()]
    assets = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in _ASSET_SUFFIXES}
    return sorted(taken | assets)


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m space.publish", description="Publish the page as a Space.")
    add_publish_options(parser, SPACE_REPO)
    options = parser.parse_args(arguments)
    run_publish(Artifact("space", SPACE_FOLDER, project_version(), ENTRY, files_of_page(), sdk="gradio"), options)


if __name__ == "__main__":
    sys.exit(run_command(main))
