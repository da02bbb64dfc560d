"""The process that draws for another (see `vega.py`): a line asks for a function of vl-convert, a line answers.

It is run as a file and imports nothing of Vitro, so that it starts in a moment.
"""

import json
import os
import signal
import sys


def main() -> None:
    """Answer each line of stdin: [function, arguments] with [true, what it made] or [false, why it made nothing]."""
    # Ctrl-C is the other process's, which ends this one by ending its own side of the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    # Nothing that a library prints is an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _lift_limits()
    for line in sys.stdin:
        function, arguments = json.loads(line)
        try:
            import vl_convert

            answer = [True, getattr(vl_convert, function)(**arguments)]
        # A panic in Rust is no Exception.
        except BaseException as error:
            answer = [False, " ".join(str(error).split())]
        print(json.dumps(answer), file=answers, flush=True)


def _lift_limits() -> None:
    """Raise the limits that V8 runs into as far as a process may itself: the soft ones to the hard ones."""
    if sys.platform != "win32":
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_NOFILE):
            _, most = resource.getrlimit(kind)
            resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    main()
