"""A token as a reader sees it: nothing invisible, nothing that rearranges the text around it, no two alike."""

import re
import unicodedata

SPACE = "␣"
_LEFT_TO_RIGHT = "\u200e"
_BARE = re.compile("^ +| {2,}| +$")
"""Spaces that nobody would see: outer ones, and those of which a page shows one alone."""
# What the signs below are made of is spelled out where a token holds it.
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\", SPACE: r"\u2423"}
# Control, format, surrogate, private, unassigned; line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_RIGHT_TO_LEFT = frozenset({"R", "AL"})


def readable(token: str) -> str:
    r"""The token with its outer spaces as `␣`, its line breaks as `\n` and everything invisible as `\u....`.

    No two tokens are shown alike: spaces beside each other are `␣` too, a backslash is `\\`, a `␣` is `\u2423`, and a
    letter with its accent apart (not in Unicode's form NFC) is spelled out. Right-to-left letters are kept, between two
    left-to-right marks, so that they cannot swap places with the numbers and arrows next to them. Markup (`<b>`) is
    kept: whoever writes HTML escapes it.

    >>> readable(" a\n")
    '␣a\\n'
    """
    composed = unicodedata.is_normalized("NFC", token)
    seen = (_visible(character) if composed or character.isascii() else _spelled(character) for character in token)
    shown = _BARE.sub(lambda spaces: SPACE * len(spaces.group()), "".join(seen))
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in shown):
        return f"{_LEFT_TO_RIGHT}{shown}{_LEFT_TO_RIGHT}"
    return shown


def word(token: str) -> str:
    """The token without the one leading space that the template gives it, for labels: "Monday → Tuesday"."""
    bare = token.removeprefix(" ")
    return readable(bare or token)


def _visible(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    category = unicodedata.category(character)
    unseen = category in _UNSEEN or (category == "Zs" and character != " ")
    return _spelled(character) if unseen else character


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
