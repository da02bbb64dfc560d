"""One self-contained HTML page: what was asked, how to read the results, and how to make them again."""

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from vitro.figures.spec import VEGALITE_VERSION, Figure, to_spec
from vitro.figures.vega import vega
from vitro.report.listing import Listing
from vitro.report.numbers import table
from vitro.tables import Mark

GENERATOR = '<meta name="generator" content="Vitro">'
"""Stands near the beginning of every page and says that Vitro made it."""


@dataclass(frozen=True)
class Section:
    """One measurement: `reading` says in a sentence how to read it.

    `figures` are keyed by file name: the figure `x` is also in `figures/x.svg`. python: the line that makes it again,
    after those of the page. command: the command line that does, where that is not the page's. Both may be empty.
    """

    name: str
    title: str
    reading: str
    figures: Mapping[str, Figure]
    numbers: pl.DataFrame
    python: str = ""
    command: str = ""


@dataclass(frozen=True)
class Sentence:
    """A sentence and where on the page it is shown how it was got.

    at: the name of a section, or `figure-x` for the figure `x` of one; empty where all of the page shows it.
    """

    text: str
    at: str = ""


@dataclass(frozen=True)
class Number:
    """A number for the top of a page, as text, with what it counts and where it comes from (as in `Sentence`)."""

    value: str
    label: str
    at: str


@dataclass(frozen=True)
class Condition:
    """A condition on an answer, in a line. mark: as in `vitro.tables.Mark`. at: as in `Sentence`."""

    text: str
    mark: Mark
    at: str


@dataclass(frozen=True)
class Head:
    """What a page opens with where its question has an answer: the answer, its drawing, and how sure it is.

    figure: the name of a figure of one of the sections, which is drawn here and not there; empty for none. depth: how
    far the answer can be taken out of the model.
    """

    answer: str
    figure: str
    numbers: Sequence[Number]
    conditions: Sequence[Condition]
    depth: Sentence | None = None


@dataclass(frozen=True)
class Page:
    """A report: question and answer, findings, sections, and at the end how it was made."""

    title: str
    lead: Sequence[Sentence]
    """The findings, a sentence each."""
    facts: Sequence[tuple[str, str]]
    """What is needed to make it again, as (name, value)."""
    sections: Sequence[Section]
    left_out: Sequence[str] = ()
    """What was not measured, and why."""
    asked: str = ""
    """What was asked of the model, in a sentence or two."""
    head: Head | None = None
    command: str = ""
    """The command line that makes all of it."""
    python: str = ""
    """The lines of Python that stand before that of any section."""
    listing: Listing | None = None
    """All that the page is about, a row each, above the sections; its form filters the rows and the figures."""


@dataclass(frozen=True)
class Drawing:
    """A figure as a page shows it: its title is words of the page, which wrap; the specification has none."""

    title: str
    subtitle: str
    spec: Mapping[str, Any]

    @classmethod
    def of(cls, figure: Figure) -> "Drawing":
        """The figure, its title apart."""
        spec = to_spec(figure)
        title = spec.pop("title", {})
        return cls(title.get("text", ""), " ".join(title.get("subtitle", [])), spec)


def render(page: Page) -> str:
    """The page as HTML that loads nothing from the network; equal pages give equal bytes.

    ValueError where two sections or two figures have one name, or something leads to a place that is not there.
    """
    listed = [page.listing.name] if page.listing else []
    _refuse_twins([*listed, *(section.name for section in page.sections)], "sections")
    _refuse_twins([name for section in page.sections for name in section.figures], "figures")
    _refuse_dead_ends(page)
    library, drawing = _library(), _asset("draw.js")
    # What follows the form is told of each figure as it is drawn, so it is there before.
    listing = _asset("list.js") if page.listing else ""
    template = _environment().get_template("page.html.jinja")
    titles = {at: section.title for section in page.sections for at in _places(section)}
    if page.listing:
        titles[page.listing.name] = page.listing.title
    return template.render(
        page=page,
        titles=titles,
        drawings={name: Drawing.of(figure) for section in page.sections for name, figure in section.figures.items()},
        tables={section.name: table(section.numbers) for section in page.sections},
        generator=Markup(GENERATOR),
        policy=_policy(library, *filter(None, [listing]), drawing),
        style=Markup(_asset("page.css") + (_asset("list.css") if page.listing else "")),
        library=Markup(library),
        listing=Markup(listing),
        drawing=Markup(drawing),
    )


def _refuse_twins(names: Sequence[str], kind: str) -> None:
    """Raises ValueError for a name used twice: names become anchors and file names."""
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"two {kind} of one page are called {twins[0]!r}")


def _refuse_dead_ends(page: Page) -> None:
    places = {"", *(at for section in page.sections for at in _places(section))}
    places |= {page.listing.name} if page.listing else set()
    ends = [sentence.at for sentence in page.lead]
    if head := page.head:
        ends += [f"figure-{head.figure}" if head.figure else "", *(number.at for number in head.numbers)]
        ends += [*(condition.at for condition in head.conditions), head.depth.at if head.depth else ""]
    if dead := sorted(set(ends) - places):
        raise ValueError(f"the page leads to {dead[0]!r}, which is not on it")


def _places(section: Section) -> list[str]:
    """What a link can lead to in a section: itself, and its figures."""
    return [section.name, *(f"figure-{name}" for name in section.figures)]


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vitro.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # `tojson` escapes <, > and &, and ASCII output takes care of U+2028: no token can end a script element.
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "separators": (",", ":"),
        "allow_nan": False,
    }
    return environment


def _policy(*scripts: str) -> str:
    """The content security policy: nothing is fetched, and only these scripts run.

    Vega usually compiles its expressions, which needs 'unsafe-eval'; the page has them interpreted instead (option
    `ast`), so the policy can forbid it. Vega-Embed writes style elements, hence 'unsafe-inline' for styles.
    """
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@functools.cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, in the versions that the figures are written for."""
    bundle = vega("javascript_bundle", snippet="window.vegaEmbed = vegaEmbed;", vl_version=VEGALITE_VERSION)
    return bundle.replace("</script", r"<\/script").replace("<!--", r"<\!--")


@functools.cache
def _asset(name: str) -> str:
    return importlib.resources.files("vitro.report").joinpath(name).read_text(encoding="utf-8")
