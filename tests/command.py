"""The command line, run in the tests' own process: another one would load torch anew each time."""

import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from vitro.cli import main

LONGEST = 2000
"""Characters of an error: more than this is no line that anyone reads."""


@dataclass
class Done:
    """A command that has ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


Vitro = Callable[..., Done]


def running(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitro:
    """Runs the command line with the given words, on a terminal so wide that no sentence is broken."""
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["vitro", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return Done(int(end.value.code or 0), output.out, output.err)

    return run


def refusal(done: Done) -> str:
    """The one line in which a command refused what it was given; an AssertionError where it did not do so."""
    assert done.code == 2, f"exit code {done.code}: {done.out[-500:]} {done.err[-2000:]}"
    assert done.out == "", "a refusal prints nothing on stdout"
    assert is_one_line(done.err.removesuffix("\n")), done.err[:3000]
    assert done.err.startswith("vitro: "), done.err
    return done.err.removeprefix("vitro: ").strip()


def is_one_line(text: str) -> bool:
    """Whether an error is one line that a terminal shows as it stands."""
    controls = [character for character in text if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]
    return 0 < len(text) <= LONGEST and not controls and "Traceback" not in text
