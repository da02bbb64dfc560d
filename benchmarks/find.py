"""Finding a circuit: how long it takes, how small it is, and what a plain greedy search backwards makes of the same.

    python benchmarks/find.py

Two rows at GPT-2 small's size with random weights, on seven day prompts, so that anyone can run them; faithfulness is
of the divergence from the clean prediction, so that every part that is left out costs something. In the first nothing
can go, and every node is tried once; in the second nodes are dropped down to a faithfulness of 0.8, then edges.

The others search SmolLM2-135M on days and on months (margin, mean ablation, 0.8): nodes, then edges; the whole with
verdict and ladder; and the greedy search, which drops the one node that costs least, again and again, until none can
go. It asks the same trials of the same circuits, so the circuits measured are what its way costs.

Progress goes to stderr, and all rows as JSON to stdout. Exits with 1 where a row takes longer than its limit or leaves
more nodes than it may.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import vitro
from study import word_tokenizer
from vitro.discovery import Finder, Found, OutOfTimeError, Trials
from vitro.discovery.trial import Nodes
from vitro.experiments import FIND, Options, Setup
from vitro.experiments.find import case_of, split
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.models.families.gpt2 import GPT2
from vitro.tasks import days, named

Row = dict[str, Any]
TAU = 0.8
NONE_CAN_GO = 1 - 1e-5
"""A faithfulness that no circuit keeps of which anything is left out."""
MOST_NODES = {"days": 25, "months": 20}
"""What SmolLM2's circuits may have."""
SMOLLM2 = Options(metric="margin", edge_ablation="mean", faithful=TAU, budget=float("inf"))


def rows(arguments: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Each row's name, and what measures it."""
    size = f"{arguments.layers} layers of {arguments.heads} heads"
    yield f"nodes, none can go, {size}", lambda: nodes_alone(random_finder(arguments, NONE_CAN_GO), limit=30)
    yield f"nodes and edges, {size}", lambda: nodes_and_edges(random_finder(arguments, TAU), edge_limit=240)
    for task in MOST_NODES:
        yield f"SmolLM2, {task}", partial(smollm2, task)
        yield f"SmolLM2, {task}, with verdict and ladder", partial(smollm2_whole, task)
        yield f"SmolLM2, {task}, greedy", partial(smollm2_greedy, task, arguments.greedy_seconds)


def random_finder(arguments: argparse.Namespace, tau: float) -> Finder:
    """Seven day prompts in a model of random weights."""
    torch.manual_seed(0)
    sizes = {"n_layer": arguments.layers, "n_head": arguments.heads, "n_embd": 64 * arguments.heads}
    # Of weights as small as GPT-2's are at first, all answers are so alike that rounding tells in their divergence.
    config = GPT2Config(**sizes, initializer_range=0.1)
    model = GPT2.of(GPT2LMHeadModel(config).eval().requires_grad_(False), word_tokenizer(days()))
    case = case_of(Setup(model, days(), Options(samples=arguments.samples, edge_ablation="mean", metric="margin")))
    finder = Finder(replace(case, metric=METRICS["kl"]), tau)
    # What such a model answers right is chance.
    finder.ends = replace(finder.ends, right=np.zeros_like(finder.ends.right))
    return finder


def smollm2_setup(task: str) -> Setup:
    model: Model = vitro.load("smollm2")
    return Setup(model, named(task), SMOLLM2)


def smollm2_finder(task: str) -> Finder:
    searched, _ = split(smollm2_setup(task))
    finder = Finder(case_of(searched), TAU)
    # The constants and the ablated run belong to no search.
    _ = finder.case.within
    return finder


def smollm2(task: str) -> Row:
    """The search, first to nodes and then to edges."""
    return nodes_and_edges(smollm2_finder(task), limit=90, most_nodes=MOST_NODES[task])


def smollm2_whole(task: str) -> Row:
    """All of `vitro find`."""
    setup = smollm2_setup(task)
    start = time.perf_counter()
    tables = setup.tables(FIND)
    seconds = time.perf_counter() - start
    said = tables["find"].select("found", "why", "nodes", "edges", "faithfulness", "minimal", "measured")
    kept = tables["ladder"].filter("kept").height
    return {"seconds": seconds, **said.row(0, named=True), "rungs_kept": kept, "rungs": tables["ladder"].height}


def smollm2_greedy(task: str, seconds: float) -> Row:
    """The greedy search of the same case."""
    return greedy(smollm2_finder(task), seconds)


def nodes_alone(finder: Finder, limit: float | None = None, most_nodes: int | None = None) -> Row:
    """The search for nodes."""
    row, _ = _nodes(finder, limit, most_nodes)
    return row


def nodes_and_edges(
    finder: Finder, limit: float | None = None, most_nodes: int | None = None, edge_limit: float | None = None
) -> Row:
    """The search for nodes, and then for edges."""
    row, found = _nodes(finder, limit, most_nodes)
    start = time.perf_counter()
    edged = finder.edges(found)
    return {
        **row,
        "edges_seconds": time.perf_counter() - start,
        "edges_limit": edge_limit,
        "edges": int(edged.mask.sum()),
        "nodes_with_edges": len(edged.nodes),
        "edges_faithfulness": edged.f,
        "edges_minimal": edged.minimal,
        "edges_measured": edged.measured - found.measured,
    }


def _nodes(finder: Finder, limit: float | None, most_nodes: int | None) -> tuple[Row, Found]:
    start = time.perf_counter()
    found = finder.find("node")
    seconds = time.perf_counter() - start
    row = {
        "of": len(finder.case.graph.sources) - 1,
        "prompts": len(finder.ends.right),
        "tau": finder.tau,
        "seconds": seconds,
        "limit": limit,
        "nodes": len(found.nodes),
        "most_nodes": most_nodes,
        "faithfulness": found.f,
        "minimal": found.minimal,
        "measured": found.measured,
    }
    return row, found


def greedy(finder: Finder, seconds: float) -> Row:
    """Drop the node that costs least of those that can go, one in each round. seconds: when it is stopped."""
    start = time.perf_counter()
    trials, aim = Trials(Nodes(finder.case), until=time.monotonic() + seconds), finder.aim()
    inside = np.ones(len(finder.case.graph.sources) - 1, dtype=bool)
    f, finished = 1.0, False
    try:
        while not finished:
            items = np.flatnonzero(inside)
            sets = np.repeat(inside[None], len(items), axis=0)
            sets[np.arange(len(items)), items] = False
            worth = finder.ends.worth(trials(sets))
            can_go = aim.met(worth)
            finished = not can_go.any()
            if not finished:
                row = int(np.where(can_go, worth.f, -np.inf).argmax())
                inside, f = sets[row], float(worth.f[row])
                print(f"\r  {inside.sum()} nodes left, {f:.3f} ", end="", file=sys.stderr, flush=True)
    except OutOfTimeError:
        pass
    return {
        "seconds": time.perf_counter() - start,
        "nodes": int(inside.sum()),
        "faithfulness": f,
        "minimal": finished,
        "measured": len(trials.known),
    }


def missed(row: Row) -> bool:
    """Whether a row breaks one of its bounds."""
    bounds = (("seconds", "limit"), ("edges_seconds", "edges_limit"), ("nodes", "most_nodes"))
    return any(row.get(bound) is not None and row[name] > row[bound] for name, bound in bounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--layers", type=int, default=12, help="of the model of random weights")
    parser.add_argument("--heads", type=int, default=12, help="in each of its layers")
    parser.add_argument("--samples", type=int, default=256, help="sentences in its dataset")
    parser.add_argument("--greedy-seconds", type=float, default=3600.0, help="when the greedy search is stopped")
    arguments = parser.parse_args()

    result: dict[str, Any] = {"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": []}
    for name, measure in rows(arguments):
        if arguments.only in name:
            print(name, file=sys.stderr, flush=True)
            result["rows"].append({"row": name, **measure()})
            print(f"  {result['rows'][-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    print(json.dumps(result, indent=2))
    broken = [row["row"] for row in result["rows"] if missed(row)]
    for name in broken:
        print(f"missed: {name}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
