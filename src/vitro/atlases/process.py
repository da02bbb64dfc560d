"""A worker that is a process of its own on this machine: it can be killed, and takes nobody with it."""

import base64
import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from threading import Thread
from typing import IO, Any

from vitro.atlases.work import Answer, Bench, Job, Work, WorkerDiedError, answer, told
from vitro.errors import one_line
from vitro.limits import ending


@dataclass
class Process:
    """The worker as the driver has it. It is started when it is first asked, and anew where it ended.

    It is told a line, the pickle of a work or of a job, and answers a line of JSON; nobody else reads or writes these.
    It runs a module of Vitro, not the caller's main module, so a notebook and a script without
    `if __name__ == "__main__"` may have workers as well.
    """

    work: Work
    _process: "subprocess.Popen[str] | None" = None
    _said: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    """What it writes to stderr."""

    def ask(self, job: Job) -> str | None:
        """As `Worker.ask`."""
        if self._process is None:
            self._process = self._started()
            self._tell(self.work)
        self._tell(job)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            process, self._process = self._process, None
            raise WorkerDiedError(f"ended by {ending(process.wait())}{self._last_words()}")
        kind, text = json.loads(line)
        return told((kind, text))

    def end(self) -> None:
        """End it, whatever it is at."""
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _started(self) -> "subprocess.Popen[str]":
        threads = str(self.work.threads)
        # Before torch and polars are imported: else they start threads for every core, in every worker.
        limits = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads}
        self._said.seek(0)
        self._said.truncate()
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "vitro.atlases.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                encoding="ascii",
                env={**os.environ, **limits, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                # Ctrl-C is for the driver, which ends its workers.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerDiedError(f"could not be started ({error.strerror})") from error

    def _tell(self, value: Work | Job) -> None:
        line = base64.b64encode(pickle.dumps(value)).decode()
        try:
            print(line, file=self._process.stdin, flush=True)  # type: ignore[union-attr]
        except OSError:
            # It has ended: reading its answer says so.
            return

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read()[-4000:].decode(errors="replace").splitlines()
        return f": {one_line(lines[-1])[:200]}" if lines else ""


def main() -> None:
    """Answer the driver's lines until it closes them, or ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    # What a library prints is no answer.
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    Thread(target=_read, args=(lines,), daemon=True).start()
    bench = Bench(_value(lines.get()))
    while True:
        print(json.dumps(_answer(bench, lines.get())), file=answers, flush=True)


def _read(lines: "queue.SimpleQueue[str]") -> None:
    """Hand on the driver's lines. Where it has no more, or is gone, this process ends, whatever it is at."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _answer(bench: Bench, line: str) -> Answer:
    try:
        job = _value(line)
    except Exception as error:
        return "failed", f"a task of this kind cannot be sent to another process ({one_line(str(error))[:200]})"
    return answer(bench, job)


def _value(line: str) -> Any:
    return pickle.loads(base64.b64decode(line))


if __name__ == "__main__":
    main()
