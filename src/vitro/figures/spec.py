"""A chart as Vega-Lite JSON and as static SVG, byte for byte the same for the same table."""

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

import altair as alt
import vl_convert

Spec = Mapping[str, Any]
Figure = alt.TopLevelMixin | Spec

VEGALITE_VERSION = ".".join(alt.SCHEMA_VERSION.split(".")[:2])


def to_spec(figure: Figure) -> dict[str, Any]:
    """The Vega-Lite specification of a figure as plain JSON values; the data travels inside."""
    if isinstance(figure, Mapping):
        return dict(figure)
    # A theme that the reader has switched on in a notebook must not leak into a study's files.
    with alt.theme.enable("none"):
        spec: dict[str, Any] = figure.to_dict()
    return spec


def to_json(figure: Figure) -> str:
    """The specification as compact JSON with sorted keys."""
    return json.dumps(to_spec(figure), sort_keys=True, separators=(",", ":"), allow_nan=False)


def to_svg(figure: Figure) -> str:
    """The figure as a static SVG document, drawn without a browser and without the network."""
    svg: str = vl_convert.vegalite_to_svg(to_spec(figure), vl_version=VEGALITE_VERSION, allowed_base_urls=[])
    return _renumber(svg)


def _renumber(svg: str) -> str:
    """Number the gradients and clip paths from 0: Vega counts them over the life of the process."""
    numbers: dict[str, int] = {}
    fresh = itertools.count()

    def renumbered(match: re.Match[str]) -> str:
        name = match.group()
        if name not in numbers:
            numbers[name] = next(fresh)
        return f"{match['kind']}{numbers[name]}"

    return re.sub(r'(?<=["#])(?P<kind>gradient_|clip)\d+(?=["\)])', renumbered, svg)
