"""Code imports point upstream only, and only into the contract modules."""

import ast
from pathlib import Path

import pytest

from space.publish import files_of_page

REPO = Path(__file__).resolve().parent.parent
STAGES = ["dataset_builder", "training", "eval", "model_card", "space"]
CONTRACTS = {
    "dataset_builder.contract",
    "dataset_builder.schema",
    "dataset_builder.esco",
    "dataset_builder.benchmark_files",
    "dataset_builder.benchmark_overlap",
    "dataset_builder.co_mentions",
    "dataset_builder.hub",
    "dataset_builder.hub_command",
    "dataset_builder.hub_errors",
    "dataset_builder.hub_files",
    "dataset_builder.hub_publish",
    "dataset_builder.markdown_parts",
    "dataset_builder.seeded",
    "training.overlap",
    "training.run_record",
    "training.skillskape",
    "training.export_record",
    "eval.results",
}
# Uploaded as they lie: they import nothing of ours beyond their own folder.
PAGE = [f"space/{name}" for name in files_of_page() if name.endswith(".py")]
SELF_CONTAINED = [*PAGE, "eval/r_precision_at_k"]


def imported_modules(path: Path) -> set[str]:
    """Dotted names a file imports, with `from a import b` as both `a` and `a.b`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


def breaches(stage: str, modules: set[str]) -> list[str]:
    """Which imports of a file in `stage` break the rule."""
    wrong = []
    for module in sorted(modules):
        owner = module.split(".")[0]
        if owner not in STAGES or owner == stage:
            continue
        is_contract = any(module == contract or module.startswith(contract + ".") for contract in CONTRACTS)
        is_package_of_contract = module in {contract.rsplit(".", 1)[0] for contract in CONTRACTS}
        if STAGES.index(owner) > STAGES.index(stage) or not (is_contract or is_package_of_contract):
            wrong.append(module)
    return wrong


@pytest.mark.parametrize("stage", STAGES)
def test_imports_point_upstream_into_contracts(stage: str):
    found = {
        str(path.relative_to(REPO)): wrong
        for path in (REPO / stage).rglob("*.py")
        if (wrong := breaches(stage, imported_modules(path)))
    }
    assert found == {}


def test_the_rule_can_fail():
    assert breaches("training", {"eval.results"}) == ["eval.results"]
    assert breaches("training", {"dataset_builder.filters"}) == ["dataset_builder.filters"]
    assert breaches("training", {"dataset_builder.schema.FOLDS", "training.recipe", "torch"}) == []


@pytest.mark.parametrize("place", SELF_CONTAINED)
def test_uploads_stand_alone(place: str):
    path = REPO / place
    files = [path] if path.suffix else sorted(path.rglob("*.py"))
    assert files
    for file in files:
        ours = {name for name in imported_modules(file) if name.split(".")[0] in STAGES}
        assert ours == set(), f"{file} imports {ours}"


def test_the_page_is_checked_as_a_whole():
    """What app.py imports in a function counts, and what it imports at second hand."""
    assert {"space/app.py", "space/skill_finder.py", "space/page_tabs.py", "space/pdf_text.py"} <= set(PAGE)
    assert "space/publish.py" not in PAGE


def test_no_rooms_for_odds_and_ends():
    names = {path.stem for stage in STAGES for path in (REPO / stage).rglob("*.py")}
    assert names.isdisjoint({"utils", "util", "common", "helpers", "evaluate", "datasets", "openai"})
