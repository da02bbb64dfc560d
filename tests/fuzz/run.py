"""Random checks against plain transformers, and of what is made of files with faults, on all cores.

    make fuzz
    PYTHONPATH=tests python -m fuzz.run --kind circuits --seed 123

The first runs 10,000 checks, 5,000 circuits and 1,000 cases of files and command lines, the second one case alone.
Exits with 1 where anything failed.
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import torch

from fuzz.check import largest
from fuzz.draw import Draw
from fuzz.kinds import KINDS, OF_FILES, Case, run_case
from fuzz.models import describe, draw_model


def main() -> int:
    """The exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--checks", type=int, default=10_000, help="of all other kinds, in equal parts")
    options.add_argument("--circuits", type=int, default=5_000)
    options.add_argument("--files", type=int, default=1_000, help="of files and command lines, in equal parts")
    options.add_argument("--seed", type=int, default=0, help="the first case's; with --kind, the only case's")
    options.add_argument("--kind", choices=list(KINDS), help="one case of this kind alone")
    options.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    given = options.parse_args()
    if given.kind is not None:
        return _run_one(given.kind, given.seed)
    drawn = [kind for kind in KINDS if kind not in OF_FILES and kind != "circuits"]
    shares = (
        (drawn, -(-given.checks // len(drawn))), (["circuits"], given.circuits),
        (OF_FILES, -(-given.files // len(OF_FILES))),
    )  # fmt: skip
    wanted = {kind: share for kinds, share in shares for kind in kinds if share}
    return _run_all(wanted, given.seed, given.processes)


def _run_one(kind: str, seed: int) -> int:
    case = run_case(kind, seed)
    if kind not in OF_FILES:
        print(describe(draw_model(Draw(kind, seed))))
    for check in case.checks:
        verdict = "FAILS" if check.fails else "shows nothing" if check.shows_nothing else "passes"
        print(f"{verdict:13} {check.apart:.1e} apart (limit {check.limit:.1e}, moved {check.moved:.1e})  {check.what}")
    print(case.error, end="")
    return bool(case.failures)


def _run_all(wanted: Mapping[str, int], first: int, processes: int) -> int:
    shown: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    worst: dict[str, float] = defaultdict(float)
    failed: list[Case] = []
    start = printed = time.monotonic()
    for case in _cases(wanted, shown, first, processes):
        shown[case.kind] += case.shown
        idle[case.kind] += len(case.checks) - case.shown
        worst[case.kind] = largest(worst[case.kind], case.worst)
        if case.failures:
            failed.append(case)
            print(f"FAILED: python -m fuzz.run --kind {case.kind} --seed {case.seed}", *case.failures, sep="\n  ")
        if time.monotonic() - printed > 20:
            printed = time.monotonic()
            print(f"{sum(shown.values())} of {sum(wanted.values())} checks, {printed - start:.0f} s", flush=True)
    print(f"{'kind':14}{'checks':>8}{'worst / limit':>15}{'failed cases':>14}{'no effect expected':>20}")
    for kind in wanted:
        n_failed = sum(case.kind == kind for case in failed)
        print(f"{kind:14}{shown[kind]:>8}{worst[kind]:>15.3f}{n_failed:>14}{idle[kind]:>20}")
    minutes = (time.monotonic() - start) / 60
    print(f"{sum(shown.values())} checks in {minutes:.1f} minutes on {processes} processes, {len(failed)} cases failed")
    return bool(failed)


def _cases(wanted: Mapping[str, int], shown: Mapping[str, int], first: int, processes: int) -> Iterator[Case]:
    """Cases of every kind in turn, as they are done, until enough was shown of each."""
    seeds = dict.fromkeys(wanted, first)
    running: set[Future[Case]] = set()
    with ProcessPoolExecutor(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        while True:
            # The kind of which the smallest share was begun comes next.
            left = {kind: wanted[kind] - shown[kind] for kind in wanted if shown[kind] < wanted[kind]}
            while left and len(running) < 2 * processes:
                kind = min(left, key=lambda kind: (seeds[kind] - first) / wanted[kind])
                running.add(pool.submit(run_case, kind, seeds[kind]))
                seeds[kind] += 1
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


if __name__ == "__main__":
    sys.exit(main())
