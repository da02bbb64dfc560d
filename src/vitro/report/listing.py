"""A table of all that a page is about: a row leads to a page of its own, and rows and figures are filtered together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from vitro.figures.tokens import readable

_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Field:
    """A column: its head, what it holds, and a text for each row, None for none.

    keys: the numbers that rows are sorted by, where the texts are not they. words: whether the texts are words.
    """

    head: str
    meaning: str
    texts: Sequence[str | None]
    keys: Sequence[float | None] = ()
    words: bool = False


@dataclass(frozen=True)
class Listing:
    """The rows of a page, and what they can be filtered by.

    A row leads to its address in `links`, relative to the page, if it has one. Where it has a line in `instead`, that
    stands in place of what comes after the first `named` fields. filters: for each filter a value for each row, by
    which it is chosen; a figure with a parameter `only_x` is filtered by `x`. part: the filter that needs only a part
    of the value. The rows need not be all that there is; `reading` says so.
    """

    name: str
    title: str
    reading: str
    fields: Sequence[Field]
    links: Sequence[str | None]
    instead: Sequence[str | None]
    filters: Mapping[str, Sequence[str]]
    part: str
    named: int = 3

    def __len__(self) -> int:
        return len(self.links)

    @property
    def choices(self) -> Mapping[str, Sequence[str]]:
        """For each filter by a whole value the values to choose from, where there are several."""
        every = {name: list(dict.fromkeys(values)) for name, values in self.filters.items() if name != self.part}
        return {name: [value for value in values if value] for name, values in every.items() if len(values) > 1}

    @property
    def html(self) -> Markup:
        """The table, safe to put into a page as it is."""
        heads = "".join(
            f'<th scope="col"{_kind(field)} title="{escape(field.meaning)}">{escape(field.head)}</th>'
            for field in self.fields
        )
        rows = "\n".join(self._rows())
        return Markup(f'<table class="list">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>')

    def _rows(self) -> Iterator[str]:
        kinds, rest = [_kind(field) for field in self.fields], max(1, len(self.fields) - self.named)
        for row in range(len(self)):
            values = "".join(f' data-{name}="{escape(values[row])}"' for name, values in self.filters.items())
            line = self.instead[row]
            shown = self.fields if line is None else self.fields[: self.named]
            cells = [
                f"<td{kind}{_key(field, row)}>{self._text(field, row) if number else self._linked(field, row)}</td>"
                for number, (kind, field) in enumerate(zip(kinds, shown, strict=False))
            ]
            if line is not None:
                cells.append(f'<td class="instead" colspan="{rest}">{escape(readable(line))}</td>')
            yield f"<tr{values}>{''.join(cells)}</tr>"

    def _text(self, field: Field, row: int) -> str:
        text = field.texts[row]
        return _NOTHING if text is None else str(escape(text))

    def _linked(self, field: Field, row: int) -> str:
        # A path may be broken after a slash.
        link, text = self.links[row], self._text(field, row).replace("/", "/<wbr>")
        return text if link is None else f'<a href="{escape(link)}">{text}</a>'


def _kind(field: Field) -> str:
    return "" if field.words else ' class="number"'


def _key(field: Field, row: int) -> str:
    return f' data-key="{field.keys[row]}"' if field.keys and field.keys[row] is not None else ""
