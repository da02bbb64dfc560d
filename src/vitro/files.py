"""A file that a user named, read: a regular file of a size that is meant, and never a wait; then text, JSON, TOML."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from vitro.errors import VitroError

DEEPEST = 100
"""Lists within lists, and the like: more than anything has that is meant, and few enough to be shown in an error."""
_OPENED = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe into which nobody writes is opened too, not waited for."""
_BLOCK = 2**24
"""Bytes that are read at a time."""
_KEY = re.compile(r"""[\w-]++|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?""")
_DOTTED = re.compile(rf"(?:{_KEY.pattern})(?:[ \t]*+\.[ \t]*+(?:{_KEY.pattern}))*+")


class FileError(VitroError):
    """A file that cannot be read, or does not hold what it should. The file's name is for the caller to say."""


class MissingError(FileError):
    """There is no such file."""


@contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """A file, open for reading; most: the most bytes that it may have.

    FileError for what is no regular file (a pipe or a device may have no end), is too large, or cannot be read.

    >>> with opened(tmp_path):
    ...     pass
    Traceback (most recent call last):
    ...
    vitro.files.FileError: it is a folder, not a file
    """
    try:
        with os.fdopen(_handle(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if most is not None and size > most:
                raise FileError(f"it has {size / 2**20:,.0f} MB, and {_megabytes(most)} at most are read")
            yield file
    except FileNotFoundError:
        link = "it is a link to nothing" if path.is_symlink() else "there is no such file"
        raise MissingError(link) from None
    except OSError as error:
        raise FileError(f"it cannot be read ({error.strerror})") from None


def _handle(path: Path) -> int:
    try:
        handle = os.open(path, _OPENED)
    except ValueError:
        raise FileError("its name holds the character 0, which no file's does") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise FileError(f"it is a {'folder' if stat.S_ISDIR(mode) else 'pipe or device'}, not a file")
    return handle


def read_bytes(path: Path, most: int) -> bytes:
    """What a file holds. FileError as of `opened`.

    >>> _ = (tmp_path / "some.txt").write_text("text")
    >>> read_bytes(tmp_path / "some.txt", most=10)
    b'text'
    """
    blocks, left = list[bytes](), most + 1
    with opened(path, most) as file:
        # To its end, for it may say that it has no size, or grow; in blocks, for as much as is asked for is allocated.
        while left and (block := file.read(min(left, _BLOCK))):
            blocks.append(block)
            left -= len(block)
    if not left:
        raise FileError(f"it has more than {_megabytes(most)}, the most that is read")
    return b"".join(blocks)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,g} MB"


def text_of(content: bytes) -> str:
    """Text in UTF-8, without the byte order mark that editors on Windows write. FileError for anything else.

    >>> text_of(b"\\xef\\xbb\\xbfname")
    'name'
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"it is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def json_of(text: str) -> Any:
    """The value that JSON says. FileError for what is not JSON, is nested too deep, or holds half of a character.

    >>> json_of('{"m0": true}')
    {'m0': True}
    """
    value = _parsed("JSON", json.loads, text)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise FileError("it holds half of a character (\\ud800 to \\udfff alone); write it whole") from None
    return value


def toml_of(text: str) -> dict[str, Any]:
    """The table that TOML says. FileError for what is not TOML, is nested too deep, or holds a number beyond 64 bits.

    >>> toml_of("n = 2")
    {'n': 2}
    """
    # Each part of a key, a.a.a, is a table in a table, and takes tomllib as long as all before it.
    dotted = (match[0] for match in _DOTTED.finditer(text) if match[0].count(".") >= DEEPEST)
    if any(len(_KEY.findall(key)) > DEEPEST for key in dotted):
        raise _too_deep("TOML")
    table: dict[str, Any] = _parsed("TOML", tomllib.loads, text)
    # Python reads a longer one where it is written to base 16, and then refuses to write it.
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for level in _levels(table) for value in level):
        raise FileError("it holds a whole number of more than 64 bits")
    return table


def _parsed(language: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        value = parse(text)
        if sum(1 for _ in _levels(value)) <= DEEPEST:
            return value
    except RecursionError:
        pass
    except ValueError as error:
        raise FileError(f"it is not valid {language}: {error}") from None
    raise _too_deep(language)


def _too_deep(language: str) -> FileError:
    return FileError(f"its {language} is nested more than {DEEPEST} deep, which nothing here is")


def _levels(value: Any) -> Iterator[list[Any]]:
    """What stands at each depth: the value, what is in it, what is in that, and so on."""
    level = [value]
    while level:
        yield level
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
