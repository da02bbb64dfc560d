"""Vitro against its peers, and against the machine: every row in one run, written to benchmarks/results.

    make bench

A whole run is also put into docs/performance.md and the README.

Each row is a sweep: Vitro runs it whole, the median of some runs; each peer (benchmarks/peers.py, in an environment of
its own) runs variants drawn from it at random, and its time is its seconds per variant times their number. Answer
logits are compared one by one with the plain loop's. `rate` is the multiply-adds that Vitro does, counted, over its
time, as a share of the machine's own float32 matrix product, measured in the same run. `memory` is Vitro's peak above
the loaded model. Rows without a peer are work that none does: two approximations at once, exact edges of many prompts,
and the whole day study (benchmarks/study.py).

EAP-IG's own code needs TransformerLens 3 and so an environment of its own; without one its column is left empty:

    python -m venv .venv-eap-ig
    .venv-eap-ig/bin/pip install torch==2.13.0
    .venv-eap-ig/bin/pip install transformers==5.23.0 'transformer-lens==3.9.*'
    .venv-eap-ig/bin/pip install git+https://github.com/hannamw/EAP-IG

Exits with 1 where a row's ratio to the fastest plain peer is below its target, its time above its limit, its memory
above 1.5 GB, or a difference over 1e-4.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker
from transformers import GPT2Config, GPT2LMHeadModel

import vitro
from edge_peers import OTHER
from head_sweep import DRAWN, ablation, day_prompts, number_prompts, timed
from study import study
from vitro.circuits import (
    Constants,
    Edge,
    Graph,
    counterfactual,
    cut_edges,
    run_within,
)
from vitro.circuits.nodes import INPUTS, Kind
from vitro.discovery import SIZES, Case, score_edges
from vitro.discovery.scores import STEPS
from vitro.engine import Edit, Finals, Read, Variant, mean_activations, mlp_out, pin, sweep, z
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.models.families.gpt2 import GPT2
from vitro.tasks import Questions

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "bench.json"
MARKS = ("<!-- make bench writes from here -->", "<!-- to here -->")
PEERS = {
    "hf": ("hf", "all"),
    "TransformerLens": ("transformer_lens", "all"),
    "nnsight": ("nnsight", "all"),
    "EAP-IG": ("eap_ig", "all"),
    "hf, final position unembedded": ("hf", "final"),
}
"""Column -> peer and what it unembeds. The first four are the calls of each library's guide."""
ON_EDGES = ("hf", "EAP-IG", "hf, final position unembedded")
ON_SWEEPS = ("hf", "TransformerLens", "nnsight", "hf, final position unembedded")
SUBJECT = 4
"""Where the days differ."""
IOI = 100
"""IOI prompts whose edges are scored and in which circuits run."""
DAYS_IN_GPT2 = [3321, 3431, 3583, 3635, 3217, 3909, 3502]


@dataclass(frozen=True)
class Row:
    """A sweep that peers can run too."""

    name: str
    model: Model
    prompts: list[list[int]]
    kind: str
    """What peers call it: heads, mlps, pins, edges, scores or circuits."""
    keys: list[tuple[int, ...]]
    """What tells peers each variant (see peers.py)."""
    run: Callable[[], Tensor]
    """Vitro's sweep: the answers' logits [variant, prompt], or scores [1, edge]."""
    values: list[Tensor]
    positions: list[tuple[int, ...] | None]
    target: float | None = None
    """How many times faster than the fastest plain peer it should be."""
    limit: float | None = None
    """Seconds that it should not take longer than."""
    timed: int | None = None
    """Variants that a peer runs, where it is not the option's number."""
    peers: tuple[str, ...] = ON_SWEEPS
    repeats: int | None = None
    """Timed runs of Vitro's, where it is not the option's number."""
    prompts_per_pass: int = 100
    more: dict[str, Tensor] = field(default_factory=dict)
    """What else peers are told of the row, by its name in peers.py or edge_peers.py."""
    passes: int = 1
    """Full passes over the prompts that a variant takes in a loop, a backward pass among them."""


@dataclass(frozen=True)
class Alone:
    """Work that no peer does."""

    name: str
    run: Callable[[], object]
    limit: float | None
    repeats: int | None = None


def reading(prompts: Sequence[Sequence[int]]) -> Read:
    """The answers' logits, as in every sweep of Vitro with their log-probabilities, which take the whole softmax."""
    answers = torch.arange(500, 500 + len(prompts))

    def read(finals: Finals) -> dict[str, Tensor]:
        logit = finals.at(answers[finals.prompts])
        return {"logit": logit, "log_prob": logit - finals.log_normaliser}

    return read


def swept(model: Model, prompts: list[list[int]], variants: Sequence[Variant]) -> Callable[[], Tensor]:
    return lambda: sweep(model, prompts, variants, reading(prompts))["logit"]


def head_row(
    name: str, model: Model, prompts: list[list[int]], drawn: str, target: float | None = None, every: int = 1
) -> Row:
    """every: only one variant in so many, where all would take a quarter of an hour."""
    shape = model.shape
    if model.shape.n_layers == 12:
        instead = [ablation(model, prompts[0], where) for where in DRAWN[drawn].values()]
    else:
        zero = torch.zeros(shape.n_layers, len(prompts[0]), shape.n_heads, shape.d_head)
        mean = mean_activations(model, prompts).z
        instead = [(zero, None), (mean, tuple(range(DRAWN_SMOLLM2, len(prompts[0]))))]
    keys = [
        (layer, head, method)
        for method in range(len(instead))
        for layer in range(shape.n_layers)
        for head in range(shape.n_heads)
    ][::every]
    variants: list[Variant] = [
        (Edit(z(layer, head), instead[method][0][layer, :, head], positions=instead[method][1]),)
        for layer, head, method in keys
    ]
    values, positions = [value for value, _ in instead], [at for _, at in instead]
    return Row(name, model, prompts, "heads", [*keys], swept(model, prompts, variants), values, positions, target)


DRAWN_SMOLLM2 = 3
"""From where on the day prompts differ in SmolLM2's tokens, which have no BOS."""


def mlp_row(name: str, model: Model, prompts: list[list[int]]) -> Row:
    means = mean_activations(model, prompts).mlp_out
    instead = [torch.zeros_like(means), means]
    keys = [(layer, 0, method) for method in range(2) for layer in range(model.shape.n_layers)]
    variants: list[Variant] = [(Edit(mlp_out(layer), instead[method][layer]),) for layer, _, method in keys]
    return Row(name, model, prompts, "mlps", [*keys], swept(model, prompts, variants), instead, [None, None])


def pin_row(name: str, model: Model, prompts: list[list[int]]) -> Row:
    shape = model.shape
    keys = [
        (layer, head, position)
        for layer in range(shape.n_layers)
        for head in range(shape.n_heads)
        for position in range(len(prompts[0]))
    ]
    variants: list[Variant] = [(pin(*key[:2], to=key[2]),) for key in keys]
    return Row(name, model, prompts, "pins", [*keys], swept(model, prompts, variants), [], [])


def edge_row(name: str, model: Model, prompts: list[list[int]]) -> Row:
    """Every edge cut alone, its source taken to write its mean over the prompts, from the subject on."""
    means = mean_activations(model, prompts)
    constants, keys = Constants.of(means, since=SUBJECT), [_key(model, edge) for edge in Graph.of(model).edges]
    at = tuple(range(SUBJECT, len(prompts[0])))
    values, run = [means.embed[None], means.z, means.mlp_out], cut(model, prompts, constants)
    return Row(
        name, model, prompts, "edges", keys, run, values, [at] * 3, 8.0, limit=600, timed=200, peers=("hf",), repeats=1
    )


def ioi_edge_row(name: str, model: Model, number: int) -> Row:
    """Every edge cut alone, its source taken to write what it does on the counterfactual."""
    prompts, partners = ioi_prompts(number)
    keys = [_key(model, edge) for edge in Graph.of(model).edges]
    run, more = (
        cut(model, prompts, counterfactual(model, prompts, partners)),
        {"counterfactuals": torch.tensor(partners)},
    )
    return Row(name, model, prompts, "edges", keys, run, [], [], None, timed=200, peers=("hf",), repeats=1, more=more)


def cut(model: Model, prompts: list[list[int]], constants: Constants) -> Callable[[], Tensor]:
    layers, read = range(model.shape.n_layers + 1), reading(prompts)
    return lambda: torch.cat([cut_edges(model, prompts, layer, constants, read)["logit"] for layer in layers])


def _key(model: Model, edge: Edge) -> tuple[int, ...]:
    """An edge as peers are told it: see peers.py."""
    reader = (model.shape.n_layers, -1, 0) if edge.reader.kind is Kind.logits else (edge.reader.layer, edge.reader.head)
    which = () if edge.reader.kind is Kind.logits else (INPUTS.index(edge.input) if edge.input else 0,)
    source = (-1, -1) if edge.source.kind is Kind.input else (edge.source.layer, edge.source.head)
    return (*reader, *which, *source)


def ioi_prompts(number: int) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts as in the IOI task and their counterfactuals: 16 tokens of ten templates, whose second subject, at
    position 10, is another name in the counterfactual. All words are random tokens."""
    draw = torch.Generator().manual_seed(4)
    templates = torch.randint(1000, 30000, (10, 16), generator=draw).tolist()
    prompts, partners = [], []
    for row in range(number):
        to, subject, other = (5000 + torch.randperm(100, generator=draw)[:3]).tolist()
        words = list(templates[row % 10])
        words[0], words[3], words[5], words[10] = 50256, to, subject, subject
        prompts.append(words)
        partners.append([*words[:10], other, *words[11:]])
    return prompts, partners


def case_of(model: Model, prompts: list[list[int]], constants: Constants) -> Case:
    """Scores and circuits by the difference of the answer's logit and that of a token 100 after."""
    names, answers = tuple(map(str, range(len(prompts)))), range(500, 500 + len(prompts))
    questions = Questions(
        tokens=tuple(map(tuple, prompts)),
        labels=names,
        right=tuple((answer,) for answer in answers),
        wrong=tuple((answer + OTHER,) for answer in answers),
        answers=names,
        others=names,
        marks={},
    )
    return Case(model, questions, METRICS["logit_diff"], constants)


def peers_edges(graph: Graph) -> Tensor:
    """The edges as edge_peers.py numbers them."""
    n_heads = graph.n_heads
    columns = [
        edge.reader.layer * (3 * n_heads + 1)
        + (INPUTS.index(edge.input) * n_heads + edge.reader.head if edge.input else 3 * n_heads)
        if edge.reader.kind is not Kind.logits
        else graph.n_layers * (3 * n_heads + 1)
        for edge in graph.edges
    ]
    return torch.stack([torch.from_numpy(graph.source_of), torch.tensor(columns)], dim=1)


def score_row(name: str, model: Model) -> Row:
    """EAP-IG's scores of all edges."""
    prompts, partners = ioi_prompts(IOI)
    more = {"counterfactuals": torch.tensor(partners), "edges": peers_edges(Graph.of(model))}

    def run() -> Tensor:
        # The counterfactual run is part of the work, as it is of a peer's.
        case = case_of(model, prompts, counterfactual(model, prompts, partners))
        return score_edges(case, "eap-ig").mean(1)[None]

    # A clean and a counterfactual pass, and for each step one forward and one backward.
    passes = 2 + 2 * STEPS
    return Row(
        name,
        model,
        prompts,
        "scores",
        [(0,)],
        run,
        [],
        [],
        3.0,
        60,
        peers=ON_EDGES,
        more=more,
        passes=passes,
        prompts_per_pass=20,
    )


def curve_row(name: str, model: Model) -> Row:
    """What MIB's curve runs: the empty circuit and those of ten sizes, chosen by scores and pruned."""
    prompts, partners = ioi_prompts(IOI)
    graph = Graph.of(model)
    case = case_of(model, prompts, counterfactual(model, prompts, partners))
    scores = score_edges(case, "eap-ig").mean(1).abs().numpy()
    masks = np.stack([graph.pruned(graph.top(scores, int(share * len(graph)))) for share in (0, *SIZES)])
    more = {
        "counterfactuals": torch.tensor(partners),
        "edges": peers_edges(graph),
        "masks": torch.from_numpy(masks),
    }

    def run() -> Tensor:
        constants = counterfactual(model, prompts, partners)
        return run_within(model, prompts, masks, constants, reading(prompts))["logit"]

    keys = [(number,) for number in range(len(masks))]
    return Row(
        name,
        model,
        prompts,
        "circuits",
        [*keys],
        run,
        [],
        [],
        None,
        90,
        timed=len(keys),
        peers=ON_EDGES,
        more=more,
        prompts_per_pass=20,
    )


def attribution(model: Model, prompts: list[list[int]]) -> Callable[[], object]:
    """The two approximations of `vitro edges --scores eap,eap-ig`, of a difference of logits."""
    case = case_of(model, prompts, Constants.of(mean_activations(model, prompts), since=SUBJECT))
    return lambda: [score_edges(case, name) for name in ("eap", "eap-ig")]


def thousand_prompts() -> list[list[int]]:
    """The seven day prompts in 143 paraphrases of eight tokens: two words drawn anew for each."""
    draw = torch.Generator().manual_seed(3)
    made = []
    for _ in range(143):
        first, second = torch.randint(1000, 30000, (2,), generator=draw).tolist()
        made += [[50256, 1532, first, 318, day, 11, second, 318] for day in DAYS_IN_GPT2]
    return made[:1000]


def rows(only: str) -> Iterator[Row | Alone]:
    """Those whose name holds `only`, each made when its turn comes."""
    torch.manual_seed(0)
    gpt2 = GPT2.of(GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False), tokenizer=None)
    makers: dict[str, Callable[[str], Row | Alone]] = {
        "heads, 7 days": lambda name: head_row(name, gpt2, day_prompts(), "days", 9.0),
        "heads, 100 numbers": lambda name: head_row(name, gpt2, number_prompts(), "numbers", 8.0),
        "heads, 1,000 paraphrases": lambda name: head_row(name, gpt2, thousand_prompts(), "days", every=36),
        "MLPs, 7 days": lambda name: mlp_row(name, gpt2, day_prompts()),
        "pins of every head to every stream, 7 days": lambda name: pin_row(name, gpt2, day_prompts()),
        "heads of SmolLM2-135M, 7 days": smollm2_row,
        "every edge, 7 days": lambda name: edge_row(name, gpt2, day_prompts()),
        "every edge, 7 IOI prompts and their counterfactuals": lambda name: ioi_edge_row(name, gpt2, 7),
        "every edge, 50 IOI prompts and their counterfactuals": lambda name: Alone(
            name, ioi_edge_row(name, gpt2, 50).run, None, repeats=1
        ),
        "every edge by EAP-IG, 100 IOI prompts": lambda name: score_row(name, gpt2),
        "MIB's curve, 100 IOI prompts": lambda name: curve_row(name, gpt2),
        "every edge by EAP and EAP-IG, 7 days": lambda name: Alone(name, attribution(gpt2, day_prompts()), 5.0),
        "the whole day study, in vitro included": lambda name: Alone(name, lambda: study(samples=256), None),
    }
    for name, make in makers.items():
        if only in name:
            yield make(name)


def smollm2_row(name: str) -> Row:
    model = vitro.load("smollm2")
    prompts = [list(prompt) for prompt in vitro.tasks.days().questions(model.tokenizer, model.shape.n_ctx).tokens]
    return head_row(name, model, prompts, "days", 7.0)


def peer_run(
    row: Row, peer: str, unembed: str, python: str, limit: int, repeats: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a peer says of a row, and its answers' logits with the variants that they are of."""
    with tempfile.TemporaryDirectory() as name:
        job = Path(name)
        row.model.hf.save_pretrained(job / "model")
        positions = [None if at is None else list(at) for at in row.positions]
        (job / "job.json").write_text(json.dumps({"kind": row.kind, "model": "model", "positions": positions}))
        tensors = {
            "tokens": torch.tensor(row.prompts),
            "answers": torch.arange(500, 500 + len(row.prompts)),
            "variants": torch.tensor(row.keys),
            **{
                f"values.{number}": value.expand(-1, len(row.prompts[0]), *value.shape[2:]).contiguous()
                for number, value in enumerate(row.values)
            },
            **row.more,
        }
        save_file(tensors, job / "job.safetensors")
        command = [python, str(HERE / "peers.py"), peer, name, "--repeats", str(repeats), "--unembed", unembed]
        command += ["--limit-variants", str(limit), "--prompts-per-pass", str(row.prompts_per_pass)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said: dict[str, Any] = json.loads((job / f"result-{peer}.json").read_text())
        return said, load_file(job / f"result-{peer}.safetensors")


def machine_rate() -> float:
    """Float32 multiply-adds a second of the best of some large matrix products."""
    best = 0.0
    for size in (1024, 2048, 4096):
        left, right = torch.randn(size, size), torch.randn(size, size)
        for _ in range(4):
            start = time.perf_counter()
            left @ right
            best = max(best, size**3 / (time.perf_counter() - start))
    return best


def measure(row: Row, pythons: Mapping[str, str], limit: int, repeats: int, rate: float) -> dict[str, Any]:
    """pythons: peer -> the Python of its environment, where that is not the one of `hf`."""
    n_variants = len(row.keys)
    # As many runs of a prompt in every row, so that a row of many prompts does not take an hour.
    limit = row.timed or max(2, min(n_variants, limit * 7 // len(row.prompts)))
    multiply_adds, megabytes = counted(row)
    seconds, _, ours = timed(row.run, row.repeats or repeats)
    median = float(np.median(seconds))
    peers, difference = {}, 0.0
    # Scores have no unit of their own: the largest is theirs.
    unit = float(ours.abs().max()) if row.kind == "scores" else 1.0
    for column in row.peers:
        peer, unembed = PEERS[column]
        python = pythons.get(peer, pythons["hf"])
        if not Path(python).exists():
            continue
        said, found = peer_run(row, peer, unembed, python, limit, repeats)
        peers[column] = {
            "seconds": float(np.median(said["seconds_per_variant"])) * n_variants,
            "spread": [min(said["seconds_per_variant"]) * n_variants, max(said["seconds_per_variant"]) * n_variants],
            "variants_timed": said["variants_timed"],
        }
        if peer == "hf":
            difference = max(difference, float((ours[found["variants"]] - found["logits"]).abs().max()) / unit)
            versions = said["versions"]
    plain = min(peers[column]["seconds"] for column in peers if PEERS[column][1] == "all")
    return {
        "row": row.name,
        "variants": n_variants,
        "prompts": len(row.prompts),
        "seconds": median,
        "spread": [min(seconds), max(seconds)],
        "peers": peers,
        "ratio": plain / median,
        "target": row.target,
        "limit": row.limit,
        "max_difference": difference,
        "peak_mb": megabytes,
        "multiply_adds": multiply_adds,
        "loop_multiply_adds": loop_multiply_adds(row),
        "share_of_machine": multiply_adds / median / rate,
        "versions": versions,
    }


class Untracked(ModuleTracker):
    """Which module is at work, for the counter: none is followed, as `torch.autograd.grad` does not bear that."""

    def __enter__(self) -> "Untracked":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def counted(row: Row) -> tuple[float, float]:
    """Multiply-adds of Vitro's sweep, and its peak memory above the loaded model in MB: of the row's first run."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = Untracked()
    with counter:
        _, megabytes, _ = timed(row.run, 1)
    return counter.get_total_flops() / 2, megabytes


@torch.inference_mode()
def loop_multiply_adds(row: Row) -> float:
    """Multiply-adds of a loop of full passes, as a plain call makes them: all positions unembedded."""
    tokens = torch.tensor(row.prompts[: row.prompts_per_pass])
    with FlopCounterMode(display=False) as counter:
        row.model.hf(tokens, use_cache=False)
    once: float = counter.get_total_flops() / 2
    return once * row.passes * len(row.keys) * len(row.prompts) / len(tokens)


def measure_alone(row: Alone, repeats: int) -> dict[str, Any]:
    seconds, megabytes, _ = timed(row.run, row.repeats or repeats)
    return {
        "row": row.name,
        "seconds": float(np.median(seconds)),
        "spread": [min(seconds), max(seconds)],
        "limit": row.limit,
        "peak_mb": megabytes,
    }


def missed(row: dict[str, Any]) -> list[str]:
    """Which of a row's bounds it breaks, in words."""
    bounds = (
        ("ratio", (row.get("target") or 0) > row.get("ratio", 0)),
        ("time", row["seconds"] > (row["limit"] or float("inf"))),
        ("memory", row["peak_mb"] > 1500),
        ("difference", row.get("max_difference", 0) > 1e-4),
    )
    return [name for name, broken in bounds if broken]


def report(result: dict[str, Any]) -> str:
    """The run as Markdown, the same on the screen and in docs/performance.md."""
    machine, rows = result["machine"], result["rows"]
    versions: dict[str, str] = next((row["versions"] for row in rows if "versions" in row), {})
    where = (
        f"{machine['processor']}, {machine['threads']} threads, {machine['multiply_adds_per_second'] / 1e9:.0f} G "
        f"float32 multiply-adds a second in large matrix products; {machine['date']}; "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}."
    )
    times = [["sweep", "variants x prompts", "Vitro", *PEERS, "ratio"]]
    work = [["sweep", "largest difference", "memory", "multiply-adds", "a loop's", "times fewer", "rate"]]
    for row in rows:
        peers = row.get("peers", {})
        limit = f" (at most {row['limit']:g})" if row["limit"] else ""
        target = f" (at least {row['target']:g})" if row.get("target") else ""
        times.append(
            [
                row["row"],
                f"{row['variants']:,} x {row['prompts']:,}" if peers else "",
                _seconds(row) + limit,
                *(_seconds(peers[column]) if column in peers else "" for column in PEERS),
                f"{row['ratio']:.1f}{target}" if peers else "",
            ]
        )
        mine, loop = row.get("multiply_adds", 1), row.get("loop_multiply_adds", 1)
        numbers = [f"{mine / 1e9:,.0f} G", f"{loop / 1e9:,.0f} G", f"{loop / mine:.1f}"]
        counts = [*numbers, f"{row['share_of_machine']:.0%}"] if peers else [""] * 4
        difference = f"{row['max_difference']:.1e}" if peers else ""
        work.append([row["row"], difference, f"{row['peak_mb']:.0f} MB", *counts])
    return "\n\n".join([where, _markdown(times), _markdown(work)])


def _markdown(cells: list[list[str]]) -> str:
    lines = [cells[0], ["---"] * len(cells[0]), *cells[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def headline(result: dict[str, Any]) -> str:
    """The run in a few columns, for the README."""
    cells = [["sweep", "variants x prompts", "Vitro", "fastest peer", "ratio", "largest difference", "memory"]]
    for row in result["rows"]:
        if peers := row.get("peers"):
            plain = {column: peers[column]["seconds"] for column in peers if PEERS[column][1] == "all"}
            fastest = min(plain, key=lambda column: plain[column])
            cells.append(
                [
                    row["row"],
                    f"{row['variants']:,} x {row['prompts']:,}",
                    f"{row['seconds']:.1f} s",
                    f"{plain[fastest]:.1f} s ({fastest})",
                    f"{row['ratio']:.1f}",
                    f"{row['max_difference']:.1e}",
                    f"{row['peak_mb']:.0f} MB",
                ]
            )
    machine = result["machine"]
    return f"On {machine['processor']}, {machine['threads']} threads, float32:\n\n{_markdown(cells)}"


def render(result: dict[str, Any]) -> None:
    """Put the run into docs/performance.md and the README, between the marks."""
    root = HERE.parent
    for page, text in ((root / "docs" / "performance.md", report(result)), (root / "README.md", headline(result))):
        before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


def _seconds(measured: dict[str, Any]) -> str:
    """The median and the spread of one column."""
    first, last = measured["spread"]
    return f"{measured['seconds']:.1f} s ({first:.1f} to {last:.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=".venv-peers/bin/python", help="the Python of the peers' environment")
    parser.add_argument("--eap-ig", default=".venv-eap-ig/bin/python", help="that of EAP-IG's; none: not run")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each; the median counts")
    parser.add_argument("--variants", type=int, default=36, help="variants that each peer runs of a row")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--render", action="store_true", help="measure nothing; put the last whole run into the docs")
    arguments = parser.parse_args()

    if arguments.render:
        render(json.loads(RESULT.read_text()))
        return 0
    pythons = {"hf": arguments.peers, "eap_ig": arguments.eap_ig}
    rate = machine_rate()
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "multiply_adds_per_second": rate,
        "date": time.strftime("%Y-%m-%d"),
    }
    result: dict[str, Any] = {"machine": machine, "rows": []}
    for row in rows(arguments.only):
        result["rows"].append(
            measure_alone(row, arguments.repeats)
            if isinstance(row, Alone)
            else measure(row, pythons, arguments.variants, arguments.repeats, rate)
        )
        print(row.name, f"{result['rows'][-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    print(report(result))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.out == RESULT and not arguments.only:
        render(result)
    broken = {row["row"]: missed(row) for row in result["rows"] if missed(row)}
    for name, bounds in broken.items():
        print(f"missed: {name}: {', '.join(bounds)}")
    return int(bool(broken))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


if __name__ == "__main__":
    sys.exit(main())
