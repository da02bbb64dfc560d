"""What is published: the source distribution holds tests and docs, and the README works where it is shown alone."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")
LINK = re.compile(r"\]\(([^)]+)\)")


def test_the_source_distribution_holds_what_its_tests_and_pages_need() -> None:
    sdist = pytest.importorskip("hatchling.builders.sdist")
    held = {file.distribution_path for file in sdist.SdistBuilder(str(ROOT)).recurse_included_files()}
    assert {"src/vitro/report/page.css", "tests/conftest.py", "docs/glossary.md", "Makefile", "constraints.txt"} <= held
    for folder in ("src", "tests", "docs", "benchmarks"):
        files = (path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", ".svg", ".json"))
        assert {str(path.relative_to(ROOT)) for path in files} <= held


def test_every_file_that_the_readme_and_the_docs_link_to_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in LINK.findall(page.read_text("utf-8")):
            file = link.partition("#")[0]
            assert link.startswith("https://") or (page.parent / file).exists(), f"{page.name}: {link}"


def test_the_readme_of_the_package_leads_to_no_file_that_does_not_lie_beside_it() -> None:
    shown = README
    for change in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(change["pattern"], change["replacement"], shown)
    assert LINK.findall(README) != (links := LINK.findall(shown))
    assert links
    assert all(link.startswith("https://") for link in links)
    assert "docs/glossary.md" in shown


def test_the_pythons_that_the_package_names_are_those_that_make_looks_for() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    assert re.findall(r"python(3\.\d+)\b", (ROOT / "Makefile").read_text("utf-8").splitlines()[1]) == named
