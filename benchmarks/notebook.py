"""A notebook of ten calls on SmolLM2-135M: how long each takes where they share what they measure, and each alone.

    python benchmarks/notebook.py

Each call is shown as a notebook would show it, figures included. Progress goes to stderr, and the rows as JSON to
stdout. Exits with 1 where all ten, with the loading of the model, take longer than the limit.
"""

import argparse
import json
import sys
import time

import vitro

CALLS = (
    "clean_run",
    "ablate_heads",
    "head_lens",
    "head_tokens",
    "layer_lens",
    "mlp_local",
    "ablate_mlps",
    "attention",
    "pin_heads",
    "steer",
)
LIMIT = 90.0
"""Seconds, on two cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="also each call on a model of which nothing is kept")
    arguments = parser.parse_args()
    start = time.perf_counter()
    model = vitro.load("smollm2")
    rows = {"load": time.perf_counter() - start}
    m = vitro.mount(model, "days")
    for call in CALLS:
        before = time.perf_counter()
        getattr(m, call)()._repr_html_()
        rows[call] = time.perf_counter() - before
        print(f"{call:14} {rows[call]:6.1f} s", file=sys.stderr)
    rows["all"] = time.perf_counter() - start
    if arguments.alone:
        for call in CALLS:
            fresh = vitro.mount(vitro.load("smollm2"), "days")
            before = time.perf_counter()
            getattr(fresh, call)()._repr_html_()
            rows[f"{call}, alone"] = time.perf_counter() - before
            print(f"{call:14} {rows[f'{call}, alone']:6.1f} s alone", file=sys.stderr)
    print(json.dumps({name: round(seconds, 2) for name, seconds in rows.items()}, indent=2))
    sys.exit(rows["all"] > LIMIT)


if __name__ == "__main__":
    main()
