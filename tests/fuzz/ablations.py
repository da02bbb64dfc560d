"""Heads and MLPs at zero, mean, random, resampled and counterfactual values, which plain passes give."""

import torch
from torch.nn.utils.rnn import pad_sequence

from fuzz.check import Check, compare
from fuzz.constants import zeroed
from fuzz.draw import Draw
from fuzz.edits import all_logits, draw_memory
from fuzz.models import draw_model, plain
from fuzz.prompts import Tokens, draw_alike, draw_partners, draw_prompts
from slow import Seen, slow_logits, slow_run
from vitro.circuits import CONSTANTS, Circuit, Constant, Constants, Kind, Node, counterfactual, resampled, run_circuits
from vitro.engine import Edit, Variant, mean_activations, mlp_out, sweep, z
from vitro.models import Model


def check_ablations(draw: Draw) -> list[Check]:
    """Some components ablated together, as edits and as a circuit within the model, against hooks."""
    model = draw_model(draw)
    kind: Constant = draw.one_of(CONSTANTS)
    prompts = draw_prompts(draw, model) if kind == "counterfactual" else draw_alike(draw, model)
    sentences = [[draw.integer(0, model.shape.d_vocab - 1) for _ in prompts[0]] for _ in range(draw.integer(1, 5))]
    slow = plain(model)
    seed = draw.integer(0, 1000)
    memory = draw_memory(draw, model, prompts)
    if kind == "resample":
        constants = resampled(model, prompts, seed, memory)
        values = _outputs(_resampled(slow, prompts, seed))
    elif kind == "counterfactual":
        partners = draw_partners(draw, model, prompts)
        constants = counterfactual(model, prompts, partners, memory)
        values = _outputs(_seen(slow, partners))
    elif kind == "zero":
        values = zeroed(_means(slow, sentences))
        constants = values
    else:
        constants = Constants.of(mean_activations(model, sentences, memory=memory))
        values = _means(slow, sentences)
    clean = slow_logits(slow, prompts, [()])[0]
    checks = []
    for _ in range(4):
        chosen = draw.sample(_components(model), at_most=4)
        edits = sweep(model, prompts, [_edits(chosen, constants)], all_logits, memory=memory)["logits"][0]
        circuit = _without(model, chosen, kind)
        wired = run_circuits(
            model, prompts, [circuit], all_logits, constants={kind: constants}, value_bias="included", memory=memory
        )["logits"][0]
        expected = slow_logits(slow, prompts, [_edits(chosen, values)])[0]
        what = f"{kind}: {', '.join(map(str, chosen))}"
        checks += [
            compare(f"{what}, edited", edits, expected, clean),
            compare(f"{what}, wired", wired, expected, clean),
        ]
    return checks


def _components(model: Model) -> list[Node]:
    shape = model.shape
    heads = [Node(layer, Kind.head, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    return heads + [Node(layer, Kind.mlp) for layer in range(shape.n_layers)]


def _edits(chosen: list[Node], constants: Constants) -> Variant:
    return tuple(
        Edit(z(node.layer, node.head), constants.z[node.layer][:, :, node.head])
        if node.kind is Kind.head
        else Edit(mlp_out(node.layer), constants.mlp_out[node.layer])
        for node in chosen
    )


def _without(model: Model, chosen: list[Node], kind: Constant) -> Circuit:
    kept = [str(node) for node in _components(model) if node not in chosen]
    return Circuit.within(model, kept, kind, mlps="ablated")


def _seen(slow: Model, prompts: Tokens) -> list[Seen]:
    return [slow_run(slow, prompt) for prompt in prompts]


def _means(slow: Model, sentences: Tokens) -> Constants:
    runs = _seen(slow, sentences)
    embed = torch.stack([run.resid_pre[0] for run in runs]).mean(0, keepdim=True)
    z_mean = torch.stack([run.z for run in runs], dim=1).mean(1, keepdim=True)
    mlp = torch.stack([run.mlp_out for run in runs], dim=1).mean(1, keepdim=True)
    return Constants(embed.float(), z_mean.float(), mlp.float())


def _resampled(slow: Model, prompts: Tokens, seed: int) -> list[Seen]:
    """Each prompt's from the one before it in a seeded order."""
    order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(seed)).tolist()
    partner = {prompt: order[place - 1] for place, prompt in enumerate(order)}
    runs = _seen(slow, prompts)
    return [runs[partner[number]] for number in range(len(prompts))]


def _outputs(partners: list[Seen]) -> Constants:
    """What is seen on each prompt's partner, the shorter ones filled up."""
    z_by_layer = pad_sequence([run.z.transpose(0, 1) for run in partners], batch_first=True)
    mlp_by_layer = pad_sequence([run.mlp_out.transpose(0, 1) for run in partners], batch_first=True)
    return Constants(
        pad_sequence([run.resid_pre[0] for run in partners], batch_first=True).float(),
        z_by_layer.movedim(2, 0).float(),
        mlp_by_layer.movedim(2, 0).float(),
    )
