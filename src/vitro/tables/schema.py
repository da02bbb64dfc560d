"""Schemas of tables: the columns, their types and meanings, and the measurement that writes a table."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

DType = type[pl.DataType]


class SchemaError(TypeError):
    """A measurement wrote a table that does not fit its schema: a fault of its code, not of the user."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    meaning: finishes "the column holds". unit: of a measured value. nullable: whether a row may have no value.
    family: the common name of columns that every metric has: "<metric>_change".
    """

    name: str
    dtype: DType
    meaning: str
    unit: str = ""
    nullable: bool = False
    family: str = ""


@dataclass(frozen=True)
class Schema:
    """A table. row: finishes "a row for". measurement: the experiment that writes it. command: what runs it.

    >>> kept = Schema("kept", "a head", "keep_heads", (text("name", "the head's name"), value("share", "of the whole")))
    >>> kept.check(pl.DataFrame({"name": ["a9.h1"], "share": [0.5]}))
    Traceback (most recent call last):
    ...
    vitro.tables.schema.SchemaError: table kept, column share: it is Float64, and must be Float32
    """

    name: str
    row: str
    measurement: str
    columns: tuple[Column, ...]
    command: str = "study"

    def check(self, table: pl.DataFrame) -> None:
        """SchemaError unless the table has these columns in this order, of these types, null only where they may be."""
        names = [column.name for column in self.columns]
        if table.columns != names:
            raise SchemaError(f"table {self.name}: its columns are {table.columns}, and must be {names}")
        for column in self.columns:
            series = table[column.name]
            # An Enum is words too, in less room: for tables of millions of rows.
            if (pl.String if series.dtype == pl.Enum else series.dtype) != column.dtype:
                raise SchemaError(
                    f"table {self.name}, column {column.name}: it is {series.dtype}, and must be {column.dtype()}"
                )
            if series.null_count() and not column.nullable:
                raise SchemaError(f"table {self.name}, column {column.name}: {series.null_count()} rows have none")

    def cast(self, table: pl.DataFrame) -> pl.DataFrame:
        """A table with the schema's types; of a table without rows, which has no columns, the columns too."""
        types = pl.Schema({column.name: column.dtype for column in self.columns})
        return table.cast(types) if table.columns else pl.DataFrame(schema=types)


def by_name(schemas: Iterable[Schema]) -> dict[str, Schema]:
    """Schemas by the names of their tables."""
    return {schema.name: schema for schema in schemas}


def text(name: str, meaning: str, *, nullable: bool = False) -> Column:
    """A column of words."""
    return Column(name, pl.String, meaning, nullable=nullable)


def whole(name: str, meaning: str, *, nullable: bool = False) -> Column:
    """A column of whole numbers: counts and numbers of things."""
    return Column(name, pl.Int64, meaning, nullable=nullable)


def value(name: str, meaning: str, unit: str = "", *, nullable: bool = False) -> Column:
    """A column of measured values."""
    return Column(name, pl.Float32, meaning, unit, nullable)


def truth(name: str, meaning: str, *, nullable: bool = False) -> Column:
    """A column that says whether something holds."""
    return Column(name, pl.Boolean, meaning, nullable=nullable)
