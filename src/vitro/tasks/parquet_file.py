"""Rows of a Parquet file, read by a process of its own: a damaged file makes polars panic, abort, or wait for ever."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitro.tasks.errors import TaskError

_PATIENCE = 60
"""Seconds for the first rows of a file."""
_TOLD = 3
"""The exit code of the process where it says what is wrong with the file."""
# By an open file: polars takes a path for a pattern.
_READ = f"""
import sys, polars
try:
    with open(sys.argv[1], "rb") as file:
        polars.read_parquet(file, n_rows=int(sys.argv[2])).write_ipc(sys.stdout.buffer)
except (polars.exceptions.PolarsError, OSError) as error:
    print((str(error).splitlines() or [""])[0], file=sys.stderr)
    sys.exit({_TOLD})
"""


def parquet_rows(path: Path, most: int) -> Iterator[dict[str, Any]]:
    """The first rows, at most so many. Raises `TaskError` where the file is damaged or is no Parquet file."""
    # polars is slow to import, and the tasks that come with Vitro do not need it
    import polars as pl

    command = [sys.executable, "-c", _READ, str(path.absolute()), str(most)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise TaskError(f"the file is damaged: polars reads it for more than {_PATIENCE} seconds") from None
    if done.returncode == _TOLD:
        raise TaskError(f"the file is not Parquet: {done.stderr.decode(errors='replace')}")
    if done.returncode:
        raise TaskError("the file is damaged, or not Parquet: polars fails at it")
    return pl.read_ipc(done.stdout).iter_rows(named=True)
