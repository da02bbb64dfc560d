"""What is checked: each kind a function of a seeded draw, so that any case can be run again alone."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fuzz.ablations import check_ablations
from fuzz.check import Check, largest
from fuzz.checkpoints import check_checkpoints
from fuzz.circuits import check_circuits
from fuzz.draw import Draw
from fuzz.edges import check_attributions, check_edges
from fuzz.edits import check_attention, check_edits
from fuzz.halves import check_halves
from fuzz.lens import check_lens, check_means
from fuzz.readings import check_readings
from fuzz.thrown import check_circuit_files, check_command_lines, check_study_folders, check_task_files
from fuzz.watched import check_watched
from fuzz.within import check_within

KINDS: Mapping[str, Callable[[Draw], list[Check]]] = {
    "edits": check_edits,
    "attention": check_attention,
    "watched": check_watched,
    "readings": check_readings,
    "lens": check_lens,
    "means": check_means,
    "ablations": check_ablations,
    "circuits": check_circuits,
    "within": check_within,
    "edges": check_edges,
    "attributions": check_attributions,
    "halves": check_halves,
    "checkpoints": check_checkpoints,
    "command lines": check_command_lines,
    "task files": check_task_files,
    "circuit files": check_circuit_files,
    "study folders": check_study_folders,
}
OF_FILES = ("checkpoints", "command lines", "task files", "circuit files", "study folders")
"""Those that draw no model."""


@dataclass(frozen=True)
class Case:
    """One draw of a kind, run."""

    kind: str
    seed: int
    checks: tuple[Check, ...]
    error: str = ""
    """The traceback, where it ended in an exception, which is a failure too."""

    @property
    def failures(self) -> list[str]:
        """A line for each check that failed, and the error."""
        wrong = [
            f"{check.what}: {check.apart:.1e} apart, limit {check.limit:.1e}" for check in self.checks if check.fails
        ]
        return [*wrong, self.error] if self.error else wrong

    @property
    def shown(self) -> int:
        """How many checks show something."""
        return sum(not check.shows_nothing for check in self.checks)

    @property
    def worst(self) -> float:
        """The largest difference, in units of its limit."""
        return largest(*(check.apart / check.limit for check in self.checks))


def run_case(kind: str, seed: int) -> Case:
    """One case; whatever is raised in it is its result."""
    try:
        return Case(kind, seed, tuple(KINDS[kind](Draw(kind, seed))))
    except Exception:
        return Case(kind, seed, (), traceback.format_exc())
