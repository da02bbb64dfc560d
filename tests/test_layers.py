"""The rooms of the house know each other one way: the order below is that of docs/architecture.md."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import vitro

ROOMS = (
    "errors", "limits", "files", "strict_json", "progress", "heads", "options", "folder", "tables",
    "models", "tasks", "metrics", "engine", "circuits", "discovery", "figures", "report", "successors",
    "experiments",
    "parts", "identity", "record", "study_page", "study", "atlases", "submission", "claims", "reproduction", "cli",
)  # fmt: skip
HOUSE = Path(vitro.__file__).parent
KNOW_NOTHING_OF = {"models": {"tasks"}, "tasks": {"models"}, "report": {"models", "engine", "circuits", "experiments"}}
"""Beside what comes later: what a room could see by the order, and does not."""


def imported(file: Path) -> set[str]:
    """The rooms that a file imports from, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("vitro."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "vitro":
            names |= {alias.name for alias in node.names if alias.name in ROOMS}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("vitro.")}
    return names


def imports() -> dict[str, set[str]]:
    """Every module of the house, and those that it imports, for the eyes of a type checker alone too.

    The front door is left out: it knows every name, so that nobody has to know where a name lives.
    """
    files = {
        ".".join(file.relative_to(HOUSE.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in HOUSE.rglob("*.py")
        if file != HOUSE / "__init__.py"
    }
    seen: dict[str, set[str]] = {}
    for module, file in files.items():
        seen[module] = names = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                # What is imported from a room may be a module of it.
                parts = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {part if part in files else node.module for part in parts}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        names &= files.keys()
    return seen


def test_no_module_knows_one_that_knows_it() -> None:
    modules = imports()
    assert {"vitro.engine.sweep", "vitro.tables.schemas.asked"} <= modules.keys()
    assert "vitro.experiments.setup" in modules["vitro.experiments.experiment"]
    # Raises CycleError, which names the circle.
    TopologicalSorter(modules).prepare()


def test_every_arrow_points_one_way() -> None:
    for file in HOUSE.rglob("*.py"):
        room = file.relative_to(HOUSE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        seen = set(ROOMS[: ROOMS.index(room) + 1]) - KNOW_NOTHING_OF.get(room, set())
        assert imported(file) <= seen, f"{file.relative_to(HOUSE)} imports {sorted(imported(file) - seen)}"


def test_the_page_on_the_house_names_its_rooms_in_that_order() -> None:
    page = HOUSE.parents[1] / "docs" / "architecture.md"
    tree = page.read_text("utf-8").split("```")[1]
    named = [line.split()[0].rstrip("/").removesuffix(".py") for line in tree.splitlines() if line.startswith("  ")]
    assert tuple(named) == ROOMS


def test_no_public_name_is_that_of_a_room() -> None:
    # Python puts a room that is imported in the place of what `vitro` gives by the same name.
    assert set(vitro.__all__) & set(ROOMS) == {"tasks"}
    assert vitro.reproduce is vitro.reproduce
