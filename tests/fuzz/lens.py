"""The logit lens on streams, MLPs and heads, and mean activations, against what plain hooks see."""

import torch

from fuzz.check import Check, compare
from fuzz.draw import Draw
from fuzz.edits import draw_memory, every_head
from fuzz.models import draw_model, plain
from fuzz.prompts import draw_alike
from slow import slow_read_out, slow_run, w_out_of
from vitro.engine import mean_activations, read_out
from vitro.experiments.streams import clean_streams


def check_lens(draw: Draw) -> list[Check]:
    """Each stage of each layer read as if the model ended there, and each head's own output, its b_V in it."""
    model = draw_model(draw)
    prompts = draw_alike(draw, model)
    streams = clean_streams(model, prompts, draw_memory(draw, model, prompts))
    slow = plain(model)
    seen = [slow_run(slow, prompt) for prompt in prompts]
    checks = []
    for layer in range(model.shape.n_layers):
        stages = {
            "resid_pre": (streams.resid_pre[:, layer, -1], [one.resid_pre[layer, -1] for one in seen]),
            "resid_mid": (streams.resid_mid[:, layer], [one.resid_mid[layer, -1] for one in seen]),
            "resid_post": (streams.resid_post[:, layer], [one.resid_post[layer, -1] for one in seen]),
            "mlp_out": (streams.mlp_out[:, layer], [one.mlp_out[layer, -1] for one in seen]),
        }
        for stage, (mine, seen_there) in stages.items():
            there = slow_read_out(slow, torch.stack(seen_there))
            checks.append(compare(f"{stage} {layer}", read_out(model, mine), there))
    for layer, head in draw.some(every_head(model), at_most=3):
        mine = streams.z[:, layer, head] @ model.w_out(layer)[head]
        its = torch.stack([one.z[layer, -1, head] @ w_out_of(slow, layer, head) for one in seen])
        checks.append(compare(f"head {layer}.{head}", read_out(model, mine), slow_read_out(slow, its)))
        weights = torch.stack([one.attention[layer, head, -1] for one in seen])
        checks.append(compare(f"attention {layer}.{head}", streams.attention[:, layer, head], weights))
    return checks


def check_means(draw: Draw) -> list[Check]:
    """Means over sentences, some of which come more than once."""
    model = draw_model(draw)
    sentences = draw_alike(draw, model, at_least=3, at_most=8)
    sentences += [draw.one_of(sentences) for _ in range(draw.integer(0, 3))]
    means = mean_activations(model, sentences, memory=draw_memory(draw, model, sentences))
    slow = plain(model)
    seen = [slow_run(slow, sentence) for sentence in sentences]
    theirs = {
        "embed": torch.stack([one.resid_pre[0] for one in seen]),
        "z": torch.stack([one.z for one in seen]),
        "mlp_out": torch.stack([one.mlp_out for one in seen]),
    }
    # Moved: a mean that were one sentence's own would be seen.
    return [compare(name, getattr(means, name), value.mean(0), value[0]) for name, value in theirs.items()]
