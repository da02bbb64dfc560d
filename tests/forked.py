"""The command line in a process of its own, under a limit of time and memory, without loading torch anew each time.

A server that has imported all of Vitro and run nothing forks itself for each command: whatever hangs, fills the memory
or takes the process down is a result like any other. (A fork of the tests' own process would not do: the threads that
polars begins when it is first used are not there in it, and it waits for them for ever.)

>>> forked("models").code
0
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from command import Done, is_one_line

HUNG, BLOATED = 1001, 1002
"""The codes of commands that took too long or too much memory, and were ended."""
SECONDS = 10
"""Of processor time; of the clock's, where it waits, several times that."""
_PATIENCE = 6
MEMORY = 2 * 2**30
"""Bytes, with all that is imported."""
MOST_OUTPUT = 2**20
"""Bytes of each stream that are looked at."""
_TICK = 0.002
_IMPORTED = (
    "vitro.cli",
    "vitro.study",
    "vitro.study_page",
    "vitro.reproduction",
    "vitro.submission",
    "vitro.successors",
    "transformers",
)


def forked(*arguments: str, seconds: float = SECONDS) -> Done:
    """A command that has ended; its code, if a signal ended it, is minus that. Figures are specified, but not drawn."""
    with TemporaryDirectory() as folder:
        request = {"arguments": arguments, "seconds": seconds, "folder": folder}
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = (_beginning(Path(folder) / name) for name in ("out", "err"))
    return Done(code, out, err)


def wrong(done: Done) -> str:
    """What is wrong with how a command ended, neither in a result nor in one line; empty where nothing is."""
    if done.code in (HUNG, BLOATED):
        return "it takes too long" if done.code == HUNG else "it takes too much memory"
    if "Traceback" in done.err or done.code < 0:
        return f"code {done.code}: {done.err[-3000:]}"
    if done.code in (0, 1) and not done.err:
        return ""
    fine = done.code == 2 and not done.out and done.err.startswith("vitro: ")
    if fine and is_one_line(done.err.removesuffix("\n")):
        return ""
    return f"code {done.code}, out {done.out[:200]!r}, err {done.err[:1000]!r} ({len(done.err)} characters)"


def _beginning(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(MOST_OUTPUT).decode("utf-8", "backslashreplace")


@cache
def _server() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "forked"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
    )


def _serve() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _run(request["arguments"], Path(request["folder"]))
        print(_code(child, request["seconds"]), flush=True)


def _code(child: int, seconds: float) -> int:
    start = time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        bloated = int(Path(f"/proc/{child}/statm").read_text().split()[1]) * resource.getpagesize() > MEMORY
        # Behind the name, which may hold anything: the processor's time in the program and in the system.
        used = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13]
        hangs = (
            sum(map(int, used)) / os.sysconf("SC_CLK_TCK") > seconds or time.monotonic() - start > _PATIENCE * seconds
        )
        if bloated or hangs:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return BLOATED if bloated else HUNG
        time.sleep(_TICK)


def _run(arguments: list[str], folder: Path) -> NoReturn:
    """In the child: the command, with its streams in files, in a folder that is empty but for these."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    # What takes seconds is left out: the engine that draws, and most of what a study measures.
    for module in ("vitro.study_page", "vitro.figures"):
        sys.modules[module].to_svg = lambda figure: "<svg/>"  # type: ignore[attr-defined]
    sys.modules["vitro.experiments"].EVERY_STUDY = ("prompts", "clean", "mlp_ablation")  # type: ignore[attr-defined]
    sys.argv = ["vitro", *arguments]
    code = 1
    try:
        sys.modules["vitro.cli"].main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by sys.exit: the server's own clean-up is not the child's.
        os._exit(code)


if __name__ == "__main__":
    _serve()
