"""Tables of a search as it might have gone: a planted model, a deep small one, GPT-2 small on IOI."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from vitro.tables import Tables
from vitro.tables.schemas.find import SCHEMAS

Node = tuple[str, float, str | None]
"""A name, what it writes itself, and what it attends to."""
Edge = tuple[str, str, str | None, float | None]


def table(name: str, rows: Iterable[Sequence[Any]]) -> pl.DataFrame:
    """A table of its schema."""
    (schema,) = [schema for schema in SCHEMAS if schema.name == name]
    frame = pl.DataFrame(list(rows), schema={column.name: column.dtype for column in schema.columns}, orient="row")
    schema.check(frame)
    return frame


def node_row(node: Node, cost: float, weight: float = 0.6) -> tuple[Any, ...]:
    name, direct, mark = node
    layer, _, head = name[1:].partition(".h")
    return name, int(layer), int(head) if head else None, cost, direct, mark, weight if mark else None


def tables(
    nodes: Sequence[Node], edges: Sequence[Edge], metric: str = "margin", prompts: int = 7, found: bool = True
) -> Tables:
    """All tables of a search that ended with these components."""
    random = np.random.default_rng(0)
    costs = np.sort(random.gamma(0.7, 0.12, len(nodes)))[::-1]
    text = "absent: mean\n" + "\n".join(f"{source} -> {reader}" for source, reader, _, _ in edges)
    why = None if found else "A search that avoided its nodes came to another as good."
    level = "edge" if any(cost is not None for *_, cost in edges) else "node"
    row = (found, why, metric, "mean", 0.85, level, text, len(nodes), len(edges))
    return {
        "find": table("find", [(*row, True, prompts, 0.86, prompts, prompts, 3120, True)]),
        "find_nodes": table(
            "find_nodes", [node_row(node, cost, 0.5 + 0.4 * cost) for node, cost in zip(nodes, costs, strict=True)]
        ),
        "find_edges": table("find_edges", edges),
        "search": search(len(nodes), len(edges), level, prompts),
        "verdict": VERDICT.with_columns(pl.when(pl.col("holds").is_not_null()).then(pl.col("holds") | found)),
        "ladder": ladder(prompts, len(nodes), len(edges)),
        "ladder_answers": ladder_answers(prompts),
    }


def search(nodes: int, edges: int, level: str, prompts: int) -> pl.DataFrame:
    """Steps from ten times as many nodes, one of them taken back, and then from four times as many edges."""
    random = np.random.default_rng(1)
    rows: list[tuple[Any, ...]] = []
    for name, last, first in (("node", nodes, 10 * nodes), ("edge", edges, 4 * edges)):
        f = 1.0 if name == "node" else 0.88
        dropped = [first - number - 1 for number in range(first - last)] if name == "node" or level == "edge" else []
        # One that was dropped too early comes back at the end, and another goes for it.
        for left in [*dropped, last + 1, last] if dropped else []:
            back = left == last + 1 and rows[-1][5] == last
            cost = float(random.normal(0.0004, 0.004))
            f = float(np.clip(f - cost, 0.851, 1.05))
            action = "added" if back else "dropped"
            component = f"a{left % 12}.h{left % 7}" if name == "node" else f"a0.h{left % 7}->m{left % 12}"
            rows.append((len(rows), name, action, component, cost, left, f, prompts, 40 * (len(rows) // 8 + 1)))
    return table("search", rows)


VERDICT = table(
    "verdict",
    [
        ("task", 1e-6, None, None, "p <= 0.05", True, "The model answers 7 of 7 prompts right; guessing does not."),
        ("faithful", 0.86, None, None, "at least 0.85", True, "On the prompts searched its faithfulness is 0.86."),
        ("held_out", 0.84, 0.79, 0.88, "reaches 0.85", True, "On 56 prompts its faithfulness is 0.84 [0.79, 0.88]."),
        ("random", 0.002, None, None, "p <= 0.05", True, "A random circuit is as faithful with p = 0.002."),
        ("second", 0.2, None, None, "no other", False, "A search that avoided its nodes came to another as good."),
        ("transfer to months", 0.71, None, None, "", None, "On months its faithfulness is 0.71."),
    ],
)

RUNGS = (
    ("within the model, at the mean", 7, True),
    ("at its counterfactual", 7, True),
    ("at zero", 3, False),
    ("lowest layers by embedding and first MLP", 7, True),
    ("heads pinned to the mark they attend to most", 6, True),
    ("absent edges carry nothing", 2, False),
    ("the smallest wiring of these parts", 6, True),
)
"""Names, prompts of seven that are right, and whether the rung is kept."""


def ladder(prompts: int, nodes: int, edges: int) -> pl.DataFrame:
    rows = []
    for rung, (name, right, kept) in enumerate(RUNGS):
        left, wires = max(2, nodes - 3 * rung), max(3, edges - 9 * rung)
        rows.append((rung, name, LADDER_TEXT, left, wires, right * prompts // 7, prompts, kept))
    return table("ladder", rows)


LADDER_TEXT = "input -> m0\ninput, m0 -> a3.h1[subject]\na3.h1 -> logits"


def ladder_answers(prompts: int) -> pl.DataFrame:
    return table(
        "ladder_answers",
        [
            (rung, prompt, 1.5, 0 if prompt < right * prompts // 7 else 2)
            for rung, (_, right, _) in enumerate(RUNGS)
            for prompt in range(prompts)
        ],
    )


PLANTED = tables(
    [("m0", 0.02, None), ("a1.h2", 0.97, "subject")],
    [
        ("input", "m0", None, 0.99),
        ("input", "a1.h2", "q", 0.3),
        ("input", "a1.h2", "k", 0.31),
        ("m0", "a1.h2", "v", 1.0),
        ("a1.h2", "logits", None, 1.0),
    ],
)


def drawn_at_random(names: Sequence[str], count: int) -> list[Edge]:
    """Edges among components in the model's order, each of which reads and is read."""
    random = np.random.default_rng(2)
    order = ["input", *names, "logits"]
    edges: dict[tuple[str, str, str | None], float] = {}

    def add(source: int, reader: int) -> None:
        name = order[reader]
        read_as = str(random.choice(["v", "v", "q", "k"])) if name[0] == "a" else None
        if order[source].partition(".")[0] != name.partition(".")[0]:
            edges[order[source], name, read_as] = float(random.gamma(0.5, 0.08))

    for number in range(1, len(names) + 1):
        add(max(0, number - int(random.integers(1, 6))), number)
        add(number, len(order) - 1)
    while len(edges) < count:
        reader = int(random.integers(2, len(order)))
        add(int(random.integers(0, reader)), reader)
    return [(*ends, cost) for ends, cost in edges.items()]


_DEEP: Sequence[Node] = (
    ("m0", 0.01, None), ("m1", 0.0, None), ("a3.h5", 0.0, "bos"), ("m4", 0.02, None), ("a6.h2", 0.01, "subject"),
    ("a8.h0", 0.0, "subject"), ("m9", 0.01, None), ("a11.h4", 0.03, "subject"), ("a13.h1", 0.02, "subject"),
    ("m14", 0.02, None), ("a16.h7", 0.05, "subject"), ("a18.h4", 0.21, "subject"), ("a18.h6", -0.04, "bos"),
    ("m19", 0.03, None), ("a20.h2", 0.11, "subject"), ("m21", 0.08, None), ("a22.h8", 0.34, "subject"),
    ("a24.h0", -0.12, "subject"), ("m25", 0.11, None), ("a26.h3", 0.06, "final"), ("m27", 0.09, None),
    ("m29", -0.07, None),
)  # fmt: skip
DEEP = tables(_DEEP, drawn_at_random([name for name, *_ in _DEEP], 60))
"""As in SmolLM2: 22 components in 30 layers."""

_IOI: Sequence[Node] = (
    ("a0.h1", 0.0, "S2"), ("a0.h10", 0.0, "S2"), ("m0", 0.03, None), ("a2.h2", 0.0, "S1"), ("a3.h0", 0.0, "S1"),
    ("a4.h11", 0.0, "S1"), ("a5.h5", 0.01, "S1+1"), ("a6.h9", 0.01, "S1+1"), ("a7.h3", 0.01, "S2"),
    ("a7.h9", 0.02, "S2"), ("a8.h6", 0.02, "S2"), ("a8.h10", 0.01, "S2"), ("a9.h0", 0.05, "IO"),
    ("a9.h6", 0.38, "IO"), ("a9.h9", 0.61, "IO"), ("a10.h0", 0.27, "IO"), ("a10.h1", 0.1, "IO"),
    ("a10.h2", 0.08, "IO"), ("a10.h6", 0.09, "IO"), ("a10.h7", -0.31, "IO"), ("a10.h10", 0.07, "IO"),
    ("m10", 0.05, None), ("a11.h10", -0.24, "IO"), ("m11", -0.03, None),
)  # fmt: skip
IOI = tables(_IOI, drawn_at_random([name for name, *_ in _IOI], 130), "logit_diff", 100, found=False)


def among(nodes: Sequence[Node]) -> list[Edge]:
    """Every edge among some components, at no cost: none was searched."""
    order = ["input", *(name for name, *_ in nodes), "logits"]
    return [
        (source, reader, read_as, None)
        for at, reader in enumerate(order)
        for source in order[:at]
        if source.partition(".")[0] != reader.partition(".")[0]
        for read_as in (("q", "k", "v") if reader[0] == "a" else (None,))
    ]


NODES_ALONE = tables(_DEEP, among(_DEEP))
"""A search that stopped at nodes."""


def wirings(searched: Tables) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Boxes and arrows of the rungs: each lacks three more of the components, and the lowest read the input."""
    names = ["input", *searched["find_nodes"]["node"], "logits"]
    ends = [tuple(row) for row in searched["find_edges"].select("source", "reader").iter_rows()]
    boxes, arrows = [], []
    kinds = {"i": "input", "a": "head", "m": "mlp", "l": "logits"}
    for rung in range(len(RUNGS)):
        left = [name for at, name in enumerate(names) if at == 0 or name == "logits" or at > 3 * rung]
        boxes += [(rung, name, kinds[name[0]], "what it is", "", False) for name in left]
        inner = [(source, reader) for source, reader in ends if source in left[1:] and reader in left]
        firsts = [("input", name) for name in left[1:] if name not in {reader for _, reader in inner}]
        arrows += [(rung, source, reader, "") for source, reader in dict.fromkeys([*firsts, *inner])]
    schema = ["name", "kind", "note", "fixed", "constant"]
    return (
        pl.DataFrame(boxes, schema=["rung", *schema], orient="row"),
        pl.DataFrame(arrows, schema=["rung", "source", "reader", "input"], orient="row"),
    )


def questions(searched: Tables) -> pl.DataFrame:
    """The columns of table `questions` that figures name prompts by."""
    prompts = searched["ladder_answers"]["prompt"].unique(maintain_order=True)
    return pl.DataFrame({"prompt": prompts, "label": [f"l{prompt}" for prompt in prompts], "answer": " x"})


SEARCHES = {"planted": PLANTED, "deep": DEEP, "IOI": IOI, "nodes alone": NODES_ALONE}
