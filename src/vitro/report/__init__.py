"""The report: one HTML page that works offline, made from tables and figures, never from a model."""

from vitro.report.numbers import number, table
from vitro.report.page import GENERATOR, Condition, Head, Number, Page, Section, Sentence, render

__all__ = [
    "GENERATOR",
    "Condition",
    "Head",
    "Number",
    "Page",
    "Section",
    "Sentence",
    "number",
    "render",
    "table",
]
