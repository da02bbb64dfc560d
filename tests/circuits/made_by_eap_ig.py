"""Edge scores and a circuit's file made by EAP-IG's own code: tests/circuits/made_by_eap_ig.json.

    python tests/circuits/made_by_eap_ig.py EAP_IG

EAP_IG: a checkout of github.com/hannamw/EAP-IG (commit 795f560). Needs transformer-lens 3.9: from 4.0 on it lacks the
class that EAP-IG hooks into. The models are TransformerLens' own, drawn by `draw`; `test_made_by_eap_ig.py` draws the
same into a checkpoint of transformers. "EAP" and "EAP-IG" are its scores with a metric that sums over the batch.
"""

import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7]]
CORRUPTED = PROMPTS[::-1]
ANSWERS = [3, 17]
SIZES = {"n_layers": 2, "n_heads": 2, "d_model": 8, "d_head": 4, "d_mlp": 16, "n_ctx": 8, "d_vocab": 20}
STEPS = (1, 5)
IN_CIRCUIT = [
    *("input->m0", "input->a1.h1<q>", "input->a1.h1<k>", "m0->a1.h1<q>", "m0->a1.h1<k>", "m0->a1.h1<v>"),
    *("a1.h1->logits", "input->logits"),
]


def draw(name: str, shape: Any) -> Tensor:
    """A parameter, named as in TransformerLens: the same numbers wherever it is drawn."""
    seeded = torch.Generator().manual_seed(sum(map(ord, name)) + 1000 * len(name))
    return torch.randn(tuple(shape), generator=seeded) * 0.5 + (1.0 if name.endswith("ln1.w") else 0.0)


def main() -> None:
    sys.path.insert(0, str(Path(sys.argv[1]) / "src"))
    # Its drawing needs libraries that nothing here does, and its scores are made on a GPU wherever there is none.
    drawing: Any = types.ModuleType("eap.visualization")
    drawing.get_color = drawing.generate_random_color = None
    sys.modules["eap.visualization"] = drawing
    zeros = torch.zeros
    torch.zeros = lambda *size, device=None, **options: zeros(*size, **options)

    import eap.attribute
    from eap.graph import Graph
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    tokens = {"clean": torch.tensor(PROMPTS), "corrupted": torch.tensor(CORRUPTED)}

    def tokenized(model: Any, which: list[str]) -> tuple[Tensor, Tensor, Tensor, int]:
        rows = tokens[which[0]]
        return rows, torch.ones_like(rows), torch.full((len(rows),), rows.shape[1]), rows.shape[1]

    eap.attribute.tokenize_plus = tokenized

    def metric(logits: Tensor, clean_logits: Tensor, lengths: Tensor, label: Tensor) -> Tensor:
        return logits[torch.arange(len(logits)), -1, label].sum()

    record: dict[str, Any] = {}
    kinds: dict[str, dict[str, Any]] = {
        "GPT2": {"normalization_type": "LN", "act_fn": "gelu_new"},
        "GPTNeoX": {
            **{"normalization_type": "LN", "act_fn": "gelu", "parallel_attn_mlp": True},
            **{"positional_embedding_type": "rotary", "rotary_dim": 4, "rotary_adjacent_pairs": False},
        },
    }
    for kind, options in kinds.items():
        model = HookedTransformer(HookedTransformerConfig(**SIZES, **options, device="cpu", seed=0))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(draw(name, parameter.shape))
        model.set_use_attn_result(True)
        model.set_use_split_qkv_input(True)
        model.set_use_hook_mlp_in(True)
        graph = Graph.from_model(model)
        batches = [(["clean"] * len(PROMPTS), ["corrupted"] * len(PROMPTS), torch.tensor(ANSWERS))]
        scores: dict[str, list[float]] = {}
        for method, steps in [("EAP", None), *(("EAP-IG-inputs", steps) for steps in STEPS)]:
            eap.attribute.attribute(model, graph, batches, metric, method, ig_steps=steps, quiet=True)
            scores[f"{method} {steps}" if steps else method] = [edge.score.item() for edge in graph.edges.values()]
        record[kind] = {"edges": list(graph.edges), "scores": scores, "file": saved(Graph, graph.cfg)}
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


def saved(graph_class: Any, cfg: Any) -> Any:
    """What EAP-IG writes of a circuit; read and written again it must be the same."""
    graph = graph_class.from_model(dict(cfg))
    for name in IN_CIRCUIT:
        graph.edges[name].in_graph, graph.edges[name].score = True, 1.0
        graph.edges[name].parent.in_graph = True
    graph.prune()
    with tempfile.TemporaryDirectory() as folder:
        once, again = (str(Path(folder) / name) for name in ("once.json", "again.json"))
        graph.to_json(once)
        graph_class.from_json(once).to_json(again)
        assert Path(once).read_text() == Path(again).read_text()
        return json.loads(Path(once).read_text())


if __name__ == "__main__":
    main()
