"""Sound texts and files with random changes: of characters, of lines, of what JSON says."""

import json
from typing import Any

from fuzz.draw import Draw

ODD_TEXTS: tuple[str, ...] = (
    "", " ", "\n", "\0", "\x1b[31m", "\u0663", "\u202e", "\ud800", "{", "}", "[", "]", "[" * 300, '"', "'", ",", ";",
    ":", "->", "-", "=", "#", "\\", "/", "nan", "inf", "-1", "0", "1e400", "9" * 30, "9" * 5000, "true", "null", "é",
    "a0.h0-9999", "m9999", "x" * 5000,
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 10**30, 0.5, -1e308, float("nan"), float("inf"), "", "x", "\x1b", "\u0663", [], {},
    [[]], {"a": 1}, ["x"], [None], 10**6,
)  # fmt: skip


def changed_text(draw: Draw, text: str) -> str:
    """A text with a few pieces taken out, said twice, or put in."""
    for _ in range(draw.integer(1, 4)):
        start = draw.integer(0, len(text))
        end = min(len(text), start + draw.integer(0, 12))
        put = draw.one_of(["", text[start:end] * 2, draw.one_of(ODD_TEXTS), draw.one_of(ODD_TEXTS)])
        text = text[:start] + put + text[end:]
    return text


def changed_bytes(draw: Draw, content: bytes) -> bytes:
    """A content that is cut short, or has a few other bytes."""
    if draw.chance(0.3):
        return content[: draw.integer(0, len(content))]
    changed = bytearray(content)
    for _ in range(draw.integer(1, 8)):
        if changed:
            changed[draw.integer(0, len(changed) - 1)] = draw.integer(0, 255)
    return bytes(changed)


def changed_value(draw: Draw, value: Any) -> Any:
    """A JSON value in which one part, at any depth, is another, is missing, or has a neighbour."""
    if not isinstance(value, dict | list) or not value or draw.chance(0.15):
        return draw.one_of(ODD_VALUES)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    key: Any = draw.one_of(list(value)) if isinstance(value, dict) else draw.integer(0, len(value) - 1)
    if draw.chance(0.15):
        del copy[key]
    elif draw.chance(0.1) and isinstance(copy, dict):
        copy[draw.one_of(ODD_TEXTS)] = draw.one_of(ODD_VALUES)
    else:
        copy[key] = changed_value(draw, value[key])
    return copy


def changed_json(draw: Draw, text: str) -> str:
    """JSON with a part that says something else, or, less often, that is none any more."""
    value = json.loads(text)
    for _ in range(draw.integer(1, 3)):
        value = changed_value(draw, value)
    said = json.dumps(value)
    return changed_text(draw, said) if draw.chance(0.25) else said
