"""A table is held to its schema, and docs/tables.md is made of the schemas."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from vitro.metrics import METRICS
from vitro.tables import SCHEMAS, Schema, SchemaError, checked
from vitro.tables.columns import ALWAYS, SHARED
from vitro.tables.page import updated
from vitro.tables.schema import text, value, whole

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
HEADS = Schema(
    "heads",
    "a head",
    "heads",
    (whole("layer", "the layer"), value("share", "of the whole"), text("why", "the rule", nullable=True)),
)
GOOD = {"layer": [0], "share": pl.Series([0.5], dtype=pl.Float32), "why": pl.Series([None], dtype=pl.String)}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"layer": pl.Series([0], dtype=pl.Int32)}, "column layer: it is Int32, and must be Int64"),
        ({"share": [0.5]}, "column share: it is Float64, and must be Float32"),
        ({"share": pl.Series([None], dtype=pl.Float32)}, "column share: 1 rows have none"),
        ({"head": [1]}, "its columns are"),
    ],
)
def test_a_table_that_is_otherwise_is_refused(changed: dict[str, object], says: str) -> None:
    HEADS.check(pl.DataFrame(GOOD))
    with pytest.raises(SchemaError, match=says):
        HEADS.check(pl.DataFrame({**GOOD, **changed}))


def test_columns_in_another_order_are_refused() -> None:
    with pytest.raises(SchemaError, match="its columns are"):
        HEADS.check(pl.DataFrame(GOOD).select("share", "layer", "why"))


def test_a_table_without_rows_has_columns_and_types_all_the_same() -> None:
    for table in (pl.DataFrame(), pl.DataFrame({"layer": [0], "share": [0.5], "why": ["copying"]})):
        HEADS.check(HEADS.cast(table))


def test_checked_gives_the_tables_that_it_was_given() -> None:
    tables = {"judged_circuit": pl.DataFrame({"text": ["input -> logits"]})}
    assert checked(tables) is tables
    with pytest.raises(SchemaError):
        checked({"judged_circuit": pl.DataFrame({"text": [1]})})


def test_a_shared_column_is_of_one_type_wherever_it_stands() -> None:
    shared = {column.name: column.dtype for column in SHARED}
    columns = [column for schema in SCHEMAS.values() for column in schema.columns]
    assert all(column.dtype == shared.get(column.name, column.dtype) for column in columns)
    assert {shared[name] for name in ("prompt", "layer", "head", "position")} == {pl.Int64}
    # What is measured is Float32; what is asked for is as it was given.
    assert {column.name for column in columns if column.dtype == pl.Float64} == {"alpha", "size"}


def test_a_metric_may_be_null_exactly_where_a_task_may_lack_what_it_needs() -> None:
    assert set(ALWAYS) == {name for name, metric in METRICS.items() if not metric.needs}


def test_the_page_is_what_the_command_makes_of_it() -> None:
    page = PAGE.read_text("utf-8")
    assert page == updated(page), "docs/tables.md is out of date: make docs"


def test_the_command_mends_a_page_and_leaves_the_rest_of_it(tmp_path: Path) -> None:
    page = tmp_path / "tables.md"
    whole_page = PAGE.read_text("utf-8")
    page.write_text(whole_page.replace("| `kl` |", "| `lk` |"), "utf-8")
    subprocess.run([sys.executable, "-m", "vitro.tables", str(page)], check=True)
    assert page.read_text("utf-8") == whole_page
