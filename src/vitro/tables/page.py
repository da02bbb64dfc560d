"""The part of docs/tables.md that is generated from the schemas."""

from collections.abc import Iterable

from vitro.tables.columns import CHANGE_COLUMNS, LEVELS, MODEL_LEVELS, SHARED
from vitro.tables.quantities import QUANTITIES
from vitro.tables.schema import Column, Schema
from vitro.tables.schemas import SCHEMAS
from vitro.tables.schemas.atlas import SCHEMAS as ATLAS

BEGIN = "<!-- From here on made by `make docs`, out of vitro.tables.SCHEMAS. -->"
END = "<!-- To here. -->"
_FAMILIES = {
    LEVELS[0].family: "every metric but `kl`, each under its name: "
    + ", ".join(f"`{name}`" for name in QUANTITIES if name != "kl"),
    CHANGE_COLUMNS[0].family: "the change of each of these: ablated minus clean",
    MODEL_LEVELS[0].family: "each of them of the model, beside the circuit's",
}


def updated(page: str) -> str:
    """The page with that part generated again. ValueError where the page has no markers for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no part between {BEGIN!r} and {END!r}")
    atlas = f"An atlas ([atlas.md](atlas.md)) has three more, beside its studies:\n\n{_tables(ATLAS.values())}"
    return f"{before}{BEGIN}\n\n{_tables(SCHEMAS.values())}\n\n{_shared()}\n\n{atlas}\n\n{END}{after}"


def _tables(schemas: Iterable[Schema]) -> str:
    lines = ["| table | made by | a row for | columns |", "|---|---|---|---|"]
    for schema in schemas:
        made_by = (
            schema.measurement if schema.command == "study" else f"{schema.measurement} (`vitro {schema.command}`)"
        )
        columns = dict.fromkeys(map(_in_row, schema.columns))
        lines.append(f"| `{schema.name}` | {made_by} | {schema.row} | {', '.join(columns)} |")
    return "\n".join(lines)


def _in_row(column: Column) -> str:
    """A column in the row of its table, with its meaning where no other table has it."""
    name = f"`{column.family or column.name}`"
    return name if column.family or column in SHARED else f"{name} ({column.meaning})"


def _shared() -> str:
    lines = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for column in SHARED:
        # A bar would end the cell.
        meaning = column.meaning.replace("|", r"\|")
        lines.append(f"| `{column.name}` | {column.dtype()} | {column.unit} | {meaning} |")
    lines += [f"| `{name}` | Float32 | the metric's | {meaning} |" for name, meaning in _FAMILIES.items()]
    return "\n".join(lines)
