"""Writes eap_ig/: scores, circuits, areas and files that EAP-IG's and MIB's own code makes of small random models.

    git clone https://github.com/hannamw/EAP-IG (commit 795f560)
    git clone https://github.com/hannamw/MIB-circuit-track (commit b759df3)
    python -m venv venv
    venv/bin/pip install torch==2.13.0
    venv/bin/pip install 'transformer-lens==3.9.*' -e .
    PYTHONPATH=tests:EAP-IG/src:MIB-circuit-track venv/bin/python tests/conventions/make_eap_ig.py

From 4.0 on TransformerLens lacks the class that EAP-IG hooks into. Weights are those of `small_models`, as
TransformerLens' own conversion reads them, in float64. The metric is the difference of two logits, and scores are of
minus its sum over a batch, as MIB takes them. For each model, MODEL.json has

- `edges`: their names, in EAP-IG's order;
- `scores`, `node_scores`: by method, prompts and what an absent source writes; numbers of edges or nodes in order;
- `circuits`: by how it was chosen, a row of 0 and 1 over edges, before pruning; `pruned`: the same after it;
- `metric`: of each circuit, by what absent edges carry, of each prompt;
- `curves`: by ranking, what MIB's `evaluate_area_under_curve` returns.

The graphs that GRAPHS names are written as EAP-IG's code writes them, as .pt and, where it can, as .json.
"""

import json
import random
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from small_models import random_model

OUT = Path(__file__).parent / "eap_ig"
MODELS = ["gpt2", "neox-parallel", "llama-gqa-3"]
PROMPTS = {
    "equal": [[0, 5, 9, 3, 7, 21, 2], [0, 5, 9, 4, 7, 33, 2], [0, 8, 9, 17, 7, 21, 6], [0, 8, 40, 17, 7, 50, 6]],
    "unequal": [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7, 33, 2], [0, 8, 11, 17, 7, 41]],
}
# One differs at its prompt's end: else some edges would score 0 alike, and MIB's sort does not say which comes first.
COUNTERFACTUALS = {
    "equal": [[0, 5, 30, 3, 7, 21, 2], [0, 5, 9, 4, 45, 12, 2], [0, 8, 9, 17, 58, 21, 44], [0, 8, 9, 17, 7, 13, 6]],
    "unequal": [[0, 5, 9, 29, 7], [0, 5, 30, 4, 7, 12, 2], [0, 8, 11, 17, 58, 41]],
}
RIGHT, WRONG = [3, 17, 22, 40], [9, 31, 4, 55]
SIZES = (5, 20, 60, 150)
RANKINGS = ("top absolute", "top signed", "greedy absolute", "greedy signed")
GRAPHS = ("edges", "circuit", "nodes", "neurons")
IN_CIRCUIT = [
    *("input->m0", "input->a1.h1<q>", "input->a1.h1<k>", "m0->a1.h1<q>", "m0->a1.h1<k>", "m0->a1.h1<v>"),
    *("a1.h1->logits", "input->logits"),
]

Batch = tuple[list[list[int]], list[list[int]], Tensor]


def hooked(hf: Any) -> Any:
    """TransformerLens' model of a checkpoint's weights, all hooks on that EAP-IG asks for."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained import weight_conversions as convert

    config = hf.config
    common = {
        **{"n_layers": config.num_hidden_layers, "n_heads": config.num_attention_heads, "d_model": config.hidden_size},
        **{"d_head": config.hidden_size // config.num_attention_heads, "d_vocab": config.vocab_size},
        **{"n_ctx": config.max_position_embeddings, "dtype": torch.float64, "device": "cpu", "seed": 0},
    }
    rotary = {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": False}
    kind: dict[str, Any]
    match config.model_type:
        case "gpt2":
            kind = {"act_fn": "gelu_new", "normalization_type": "LN", "eps": config.layer_norm_epsilon}
            weights = convert.convert_gpt2_weights
        case "gpt_neox":
            share = config.rope_parameters["partial_rotary_factor"]
            kind = {"act_fn": "gelu", "normalization_type": "LN", "eps": config.layer_norm_eps, **rotary}
            kind |= {"parallel_attn_mlp": True, "rotary_dim": int(share * common["d_head"])}
            kind |= {"d_mlp": config.intermediate_size}
            weights = convert.convert_neox_weights
        case "llama":
            kind = {"act_fn": "silu", "normalization_type": "RMS", "eps": config.rms_norm_eps, **rotary}
            kind |= {"rotary_dim": common["d_head"], "gated_mlp": True, "d_mlp": config.intermediate_size}
            kind |= {"n_key_value_heads": config.num_key_value_heads, "ungroup_grouped_query_attention": True}
            weights = convert.convert_llama_weights
    model = HookedTransformer(HookedTransformerConfig(**common, **kind))
    missing, unexpected = model.load_state_dict(weights(hf.double(), model.cfg), strict=False)
    assert not unexpected
    assert all("mask" in name or "IGNORE" in name or "rotary" in name or name == "unembed.b_U" for name in missing), (
        missing
    )
    model.unembed.b_U.data.zero_()
    model.set_use_attn_result(True)
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)
    return model


def batches(which: str, size: int = 2) -> list[Batch]:
    """As a data loader gives them: clean, counterfactual, label."""
    labels = torch.tensor([RIGHT, WRONG]).T[: len(PROMPTS[which])]
    rows = range(0, len(PROMPTS[which]), size)
    return [
        (PROMPTS[which][row : row + size], COUNTERFACTUALS[which][row : row + size], labels[row : row + size])
        for row in rows
    ]


def tokenized(model: Any, rows: list[list[int]], max_length: int | None = None) -> tuple[Tensor, Tensor, Tensor, int]:
    lengths, longest = torch.tensor([len(row) for row in rows]), max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return tokens, (torch.arange(longest) < lengths[:, None]).long(), lengths, longest


def difference(logits: Tensor, clean_logits: Tensor | None, lengths: Tensor, label: Tensor) -> Tensor:
    final = logits[torch.arange(len(logits)), lengths - 1]
    right: Tensor = final.gather(1, label[:, :1])[:, 0]
    return right - final.gather(1, label[:, 1:])[:, 0]


def loss(*asked: Any) -> Tensor:
    return -difference(*asked).sum()


def numbers(values: Any) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def bits(mask: Tensor) -> str:
    return "".join(map(str, mask.int().tolist()))


class Maker:
    """One model's numbers."""

    def __init__(self, name: str) -> None:
        from eap.graph import Graph

        self.model = hooked(random_model(name).hf)
        self.graph = Graph.from_model(self.model)
        self.indices = tuple(torch.tensor([edge.matrix_index for edge in self.graph.edges.values()]).T)
        self.indices = (self.indices[0], self.indices[1] % self.graph.n_backward)

    def score(self, which: str, method: str, intervention: str = "patching", steps: int | None = None) -> list[float]:
        from eap.attribute import attribute

        options = {"ig_steps": steps, "intervention": intervention, "intervention_dataloader": means_of(which)}
        self.model.zero_grad()
        attribute(self.model, self.graph, batches(which), loss, method, quiet=True, **options)
        return numbers(self.graph.scores[self.indices].tolist())

    def node_score(self, which: str, method: str, steps: int | None = None) -> list[float]:
        from eap.attribute_node import attribute_node
        from eap.graph import Graph

        graph = Graph.from_model(self.model, node_scores=True)
        attribute_node(self.model, graph, batches(which), loss, method, ig_steps=steps, quiet=True)
        return numbers(graph.nodes_scores.tolist())

    def scores(self) -> dict[str, list[float]]:
        made = {}
        for which in PROMPTS:
            made[f"EAP {which}"] = self.score(which, "EAP")
            made[f"EAP-IG-inputs 5 {which}"] = self.score(which, "EAP-IG-inputs", steps=5)
            made[f"EAP-IG-activations 5 {which}"] = self.score(which, "EAP-IG-activations", steps=5)
            made[f"information-flow-routes {which}"] = self.score(which, "information-flow-routes")
        made["EAP equal zero"] = self.score("equal", "EAP", "zero")
        made["EAP equal mean-positional"] = self.score("equal", "EAP", "mean-positional")
        made["EAP-IG-inputs 1 equal"] = self.score("equal", "EAP-IG-inputs", steps=1)
        return made

    def choose(self, scores: list[float]) -> Iterator[tuple[str, Tensor]]:
        """Circuits by name, as rows over edges, before pruning."""
        self.graph.scores[self.indices] = torch.tensor(scores)
        for absolute in (True, False):
            kind = "absolute" if absolute else "signed"
            for n in SIZES:
                self.graph.apply_topn(n, absolute, prune=False)
                yield f"top {n} {kind}", self.graph.in_graph[self.indices].clone()
                self.graph.apply_greedy(n, absolute, prune=False)
                yield f"greedy {n} {kind}", self.graph.in_graph[self.indices].clone()
        draw = random.Random(0)
        for share in (0.1, 0.4, 0.8, 0.97):
            yield f"random {share}", torch.tensor([draw.random() < share for _ in scores])
        yield "empty", torch.zeros(len(scores), dtype=torch.bool)
        yield "all", torch.ones(len(scores), dtype=torch.bool)

    def evaluate(self, mask: Tensor, which: str, intervention: str) -> tuple[str, list[float]]:
        """The pruned circuit and each prompt's metric."""
        from eap.evaluate import evaluate_graph

        self.graph.reset()
        self.graph.in_graph[self.indices] = mask
        values = evaluate_graph(
            self.model,
            self.graph,
            batches(which),
            difference,
            quiet=True,
            intervention=intervention,
            intervention_dataloader=means_of(which),
        )
        return bits(self.graph.in_graph[self.indices]), numbers(values.tolist())

    def curve(self, scores: list[float], ranking: str, intervention: str) -> dict[str, Any]:
        from MIB_circuit_track.evaluation import evaluate_area_under_curve

        self.graph.scores[self.indices] = torch.tensor(scores)
        counts, area, area_from_1, average, faithfulness = evaluate_area_under_curve(
            self.model,
            self.graph,
            batches("equal"),
            difference,
            quiet=True,
            absolute="absolute" in ranking,
            apply_greedy="greedy" in ranking,
            intervention=intervention,
            intervention_dataloader=means_of("equal"),
        )
        return {
            "weighted_edge_counts": counts,
            **{"area_under": area, "area_from_1": area_from_1, "average": average},
            "faithfulnesses": numbers(faithfulness),
        }

    def record(self) -> dict[str, Any]:
        scores = self.scores()
        ranked = scores["EAP-IG-inputs 5 equal"]
        circuits = dict(self.choose(ranked))
        cases = [("equal", kind) for kind in ("patching", "zero", "mean-positional")]
        cases.append(("unequal", "patching"))
        evaluated = {
            f"{which} {kind}": {name: self.evaluate(mask, which, kind) for name, mask in circuits.items()}
            for which, kind in cases
        }
        return {
            "edges": list(self.graph.edges),
            "scores": scores,
            "node_scores": {
                "EAP equal": self.node_score("equal", "EAP"),
                "EAP-IG-inputs 5 equal": self.node_score("equal", "EAP-IG-inputs", 5),
            },
            "circuits": {name: bits(mask) for name, mask in circuits.items()},
            "pruned": {name: pruned for name, (pruned, _) in evaluated["equal patching"].items()},
            "metric": {
                case: {name: values for name, (_, values) in named.items()} for case, named in evaluated.items()
            },
            "curves": {
                f"{ranking} {kind}": self.curve(ranked, ranking, kind)
                for ranking in RANKINGS
                for kind in ("patching", "zero", "mean-positional")
            },
        }

    def write_graphs(self, record: dict[str, Any]) -> None:
        """Graphs with scores of edges, with no scores, with scores of nodes, and with neurons."""
        from eap.graph import Graph

        ranked = torch.tensor(record["scores"]["EAP-IG-inputs 5 equal"])
        for kind in GRAPHS:
            graph = Graph.from_model(dict(self.graph.cfg), neuron_level=kind == "neurons", node_scores=kind == "nodes")
            if kind == "circuit":
                for name in IN_CIRCUIT:
                    graph.edges[name].in_graph, graph.edges[name].score = True, 1.0
                graph.prune()
            else:
                graph.scores[self.indices] = ranked
                if kind == "nodes":
                    graph.nodes_scores[:] = torch.tensor(record["node_scores"]["EAP-IG-inputs 5 equal"])
                if kind == "neurons":
                    graph.neurons_in_graph[:] = True
                    graph.neurons_in_graph[0, ::2] = False
                graph.apply_topn(60, absolute=True)
            graph.to_pt(str(OUT / f"{kind}.pt"))
            # Its code fails to write scores of nodes, or neurons, as JSON: the logits have none.
            if kind in ("edges", "circuit"):
                path = OUT / f"{kind}.json"
                graph.to_json(str(path))
                text = path.read_text()
                Graph.from_json(str(path)).to_json(str(path))
                assert path.read_text() == text


def means_of(which: str) -> list[list[list[int]]]:
    """What means are taken over: the clean prompts, as EAP-IG takes raw strings."""
    return [PROMPTS[which]]


def on_the_cpu() -> None:
    """EAP-IG's drawing needs libraries that nothing here does, and it makes its scores on a GPU where there is none."""
    drawing: Any = types.ModuleType("eap.visualization")
    drawing.get_color = drawing.generate_random_color = None
    sys.modules["eap.visualization"] = drawing
    zeros: Callable[..., Tensor] = torch.zeros
    torch.zeros = lambda *size, device=None, **options: zeros(*size, **options)

    import eap.attribute
    import eap.attribute_node
    import eap.evaluate
    import eap.utils

    for module in (eap.attribute, eap.attribute_node, eap.evaluate, eap.utils):
        module.tokenize_plus = tokenized

    import MIB_circuit_track.evaluation as benchmark

    evaluate = benchmark.evaluate_graph
    # An option that this commit of EAP-IG does not have.
    benchmark.evaluate_graph = lambda *given, optimal_ablation_path, **options: evaluate(*given, **options)


def main() -> None:
    on_the_cpu()
    OUT.mkdir(exist_ok=True)
    for name in MODELS:
        maker = Maker(name)
        record = maker.record()
        lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
        (OUT / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
        if name == "gpt2":
            maker.write_graphs(record)


if __name__ == "__main__":
    main()
