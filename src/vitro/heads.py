"""The name of an attention head, wherever one is typed, shown or looked up."""

import re
from typing import NamedTuple

from vitro.errors import VitroError


class HeadError(VitroError):
    """A text that names no head."""


class Head(NamedTuple):
    """An attention head by its layer and its number in the layer, both from 0; equal to the plain pair of the two.

    >>> head = Head.parse("9.1")
    >>> str(head), head.layer, head == (9, 1)
    ('a9.h1', 9, True)
    """

    layer: int
    head: int

    def __str__(self) -> str:
        return f"a{self.layer}.h{self.head}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """`9.1` or `a9.h1` as a head. Raises `HeadError` for anything else."""
        match = re.fullmatch(r"a?([0-9]{1,6})\.h?([0-9]{1,6})", text.strip())
        if match is None:
            raise HeadError(f"{text!r} is not a head; what works: 9.1 or a9.h1")
        return cls(int(match[1]), int(match[2]))
