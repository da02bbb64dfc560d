"""A token as a reader sees it: nothing invisible, nothing that rearranges the text around it."""

import unicodedata

SPACE = "␣"
_LEFT_TO_RIGHT = "\u200e"
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# Control, format, surrogate, private, unassigned; line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_RIGHT_TO_LEFT = frozenset({"R", "AL"})


def readable(token: str) -> str:
    r"""The token with its outer spaces as `␣`, its line breaks as `\n` and everything invisible as `\u....`.

    Right-to-left letters are kept, between two left-to-right marks, so that they cannot swap places with the
    numbers and arrows next to them. Markup (`<b>`) is kept: whoever writes HTML escapes it.

    >>> readable(" a\n")
    '␣a\\n'
    """
    core = token.strip(" ")
    before = len(token) - len(token.lstrip(" "))
    after = len(token) - len(core) - before
    shown = SPACE * before + "".join(map(_visible, core)) + SPACE * after
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
    if category in _UNSEEN or (category == "Zs" and character != " "):
        code = ord(character)
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    return character
