"""A chart as Vega-Lite JSON and as static SVG; equal tables give equal bytes."""

import hashlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from html import escape
from typing import Any
from xml.sax.saxutils import quoteattr

import altair as alt
from altair.utils.schemapi import debug_mode

from vitro.figures.vega import DrawingError, vega
from vitro.strict_json import finite
from vitro.strict_json import to_json as strict_json

Spec = Mapping[str, Any]
Figure = alt.TopLevelMixin | Spec

_ID = re.compile(r'(?<=["#])(?P<kind>gradient_|clip)\d+(?=["\)])')
"""An id that Vega gives to a part of a drawing, where it is given and where it is referred to."""

_ELSEWHERE = 'href="https://vega.github.io/vega-datasets/'
"""What vl-convert puts before a link that is relative."""

VEGALITE_VERSION = ".".join(alt.SCHEMA_VERSION.split(".")[:2])


def unchecked() -> AbstractContextManager[None]:
    """Within it altair does not hold every part of a figure to its schema, row by row, which takes most of the time.

    The tests hold every figure to the schema of Vega-Lite.
    """
    return debug_mode(False)


def to_spec(figure: Figure) -> dict[str, Any]:
    """The Vega-Lite specification of a figure as plain JSON values, null for NaN, with its data inside."""
    if isinstance(figure, Mapping):
        return dict(finite(figure))
    # A theme that the user has enabled in a notebook must not affect a study's files.
    with alt.theme.enable("none"), unchecked():
        spec: dict[str, Any] = finite(figure.to_dict(validate=False))
    return spec


def to_json(figure: Figure) -> str:
    """The specification as compact JSON with sorted keys."""
    return strict_json(to_spec(figure), sort_keys=True, separators=(",", ":"))


def to_svg(figure: Figure) -> str:
    """The figure as a static SVG document, drawn without a browser and without the network.

    DrawingError where a limit of the machine forbids it.

    >>> to_svg(vitro.successor(model).figures["successor_scores"]).startswith("<svg")
    True
    """
    spec = to_spec(figure)
    svg = vega("vegalite_to_svg", vl_spec=spec, vl_version=VEGALITE_VERSION, allowed_base_urls=[])
    return _described(_with_own_ids(svg.replace(_ELSEWHERE, 'href="')), spec.get("description", ""))


def _described(svg: str, description: str) -> str:
    """The drawing as one picture with a text: a screen reader reads that, not every mark by itself."""
    if not description:
        return svg
    return svg.replace("<svg ", f'<svg role="img" aria-label={quoteattr(description)} ', 1)


def to_html(figures: Mapping[str, Figure]) -> str:
    """Figures as SVG, one after the other, for a notebook; where they cannot be drawn, the line that says why.

    >>> to_html({}), to_html(vitro.successor(model).figures).count("</svg>")
    ('', 3)
    """
    try:
        # A notebook's outputs are often narrower than a figure.
        drawings = (
            to_svg(figure).replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
            for figure in figures.values()
        )
        return "".join(drawings)
    except DrawingError as error:
        return f"<p>{escape(str(error))}</p>"


def _with_own_ids(svg: str) -> str:
    """Name gradients and clip paths after the drawing and count them from 0.

    Vega counts them over the life of a process, and a notebook holds drawings of several: where two have an id in
    common, one is painted with the colours of the other. The name is a digest of the drawing, so that equal figures
    have equal bytes.
    """
    names: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        return names.setdefault(match.group(), f"{match['kind']}{len(names)}")

    counted = _ID.sub(numbered, svg)
    drawing = hashlib.sha256(counted.encode()).hexdigest()[:12]
    return _ID.sub(lambda match: f"figure-{drawing}-{match.group()}", counted)
