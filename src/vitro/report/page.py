"""One self-contained HTML page: what was asked, how to read the results, and how to make them again."""

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jinja2
import polars as pl
import vl_convert
from markupsafe import Markup

from vitro.figures.spec import VEGALITE_VERSION, Figure, to_spec
from vitro.report.numbers import table

GENERATOR = '<meta name="generator" content="Vitro">'
"""Stands near the beginning of every page and says that Vitro made it."""


@dataclass(frozen=True)
class Section:
    """One measurement: `reading` says in a sentence how to read it, `python` and `command` make it again.

    `figures` are keyed by file name: the figure `x` is also in `figures/x.svg`.
    """

    name: str
    title: str
    reading: str
    figures: Mapping[str, Figure]
    numbers: pl.DataFrame
    python: str
    command: str


@dataclass(frozen=True)
class Page:
    """A report: its sections, and the facts (name, value) that are needed to make it again."""

    title: str
    lead: Sequence[str]
    """The findings, a sentence each."""
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    left_out: Sequence[str] = ()
    """What was not measured, and why."""
    asked: str = ""
    """What was asked of the model, in a sentence or two."""


def render(page: Page) -> str:
    """The page as HTML that loads nothing from the network; equal pages give equal bytes."""
    _refuse_twins([section.name for section in page.sections], "sections")
    _refuse_twins([name for section in page.sections for name in section.figures], "figures")
    library, drawing = _library(), _asset("draw.js")
    template = _environment().get_template("page.html.jinja")
    return template.render(
        page=page,
        specs={name: to_spec(figure) for section in page.sections for name, figure in section.figures.items()},
        tables={section.name: table(section.numbers) for section in page.sections},
        generator=Markup(GENERATOR),
        policy=_policy(library, drawing),
        style=Markup(_asset("page.css")),
        library=Markup(library),
        drawing=Markup(drawing),
    )


def _refuse_twins(names: Sequence[str], kind: str) -> None:
    """Raises ValueError for a name used twice: names become anchors and file names."""
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"two {kind} of one page are called {twins[0]!r}")


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
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGALITE_VERSION)
    return bundle.replace("</script", r"<\/script").replace("<!--", r"<\!--")


@functools.cache
def _asset(name: str) -> str:
    return importlib.resources.files("vitro.report").joinpath(name).read_text(encoding="utf-8")
