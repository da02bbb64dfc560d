"""Every table that a study can hold, by its name; docs/tables.md is made of this."""

from collections.abc import Mapping

import polars as pl

from vitro.tables.schema import Schema, by_name
from vitro.tables.schemas import asked, circuits, curve, edges, find, living, patching, successors
from vitro.tables.schemas.edges import SCORE_TABLES as SCORE_TABLES

SCHEMAS: Mapping[str, Schema] = by_name(
    (
        *asked.SCHEMAS,
        *find.SCHEMAS,
        *living.SCHEMAS,
        *circuits.SCHEMAS,
        *patching.SCHEMAS,
        *edges.SCHEMAS,
        *curve.SCHEMAS,
        *successors.SCHEMAS,
    )
)


def checked(tables: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
    """The same tables; SchemaError where one is not as its schema says."""
    for name, table in tables.items():
        SCHEMAS[name].check(table)
    return tables
