"""The report: one HTML page that works offline, made from tables and figures, never from a model."""

from vitro.report.numbers import number, table
from vitro.report.page import GENERATOR, Page, Section, render

__all__ = ["GENERATOR", "Page", "Section", "number", "render", "table"]
