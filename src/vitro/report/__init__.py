"""The report: one HTML page that works offline, made from tables and figures, never from a model."""

from vitro.report.found import found_head, not_found
from vitro.report.listing import Field, Listing
from vitro.report.numbers import number, table
from vitro.report.page import GENERATOR, Condition, Head, Number, Page, Section, Sentence, render

__all__ = [
    "GENERATOR",
    "Condition",
    "Field",
    "Head",
    "Listing",
    "Number",
    "Page",
    "Section",
    "Sentence",
    "found_head",
    "not_found",
    "number",
    "render",
    "table",
]
