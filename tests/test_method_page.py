"""docs/method.md has what the source cites it for."""

import re
from pathlib import Path

from vitro.metrics import METRICS

HOUSE = Path(__file__).resolve().parents[1]
PAGE = (HOUSE / "docs" / "method.md").read_text("utf-8")
GLOSSARY = (HOUSE / "docs" / "glossary.md").read_text("utf-8")
NAMED = re.compile(r"method\.md,\s+(?:section\s+(\d+(?:\.\d+)?)|([VC]\d+))")
"""A reference: `docs/method.md, section 4.2`, or the measurement `V3` or the setup `C7`."""


def test_every_reference_names_a_section_or_a_row_that_is_there() -> None:
    sections = set(re.findall(r"^##+ (\d+(?:\.\d+)?)\.? ", PAGE, re.MULTILINE))
    rows = set(re.findall(r"^\| ([VC]\d+) \|", PAGE, re.MULTILINE))
    for file in [*HOUSE.glob("src/**/*.py"), *HOUSE.glob("tests/**/*.py"), *HOUSE.glob("benchmarks/*.py")]:
        text = file.read_text("utf-8")
        if file == Path(__file__):
            continue
        assert text.count("method.md") == len(NAMED.findall(text)), f"{file.name}: which section of docs/method.md?"
        for section, row in NAMED.findall(text):
            assert section in sections or row in rows, f"{file.name}: docs/method.md has no {section or row}"


def test_every_metric_is_defined_there_and_in_the_glossary() -> None:
    for name in METRICS:
        assert f"| `{name}` |" in PAGE
        assert f"**`{name}`**" in GLOSSARY
