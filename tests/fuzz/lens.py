"""The logit lens on streams, MLPs and heads, and mean activations, against what plain hooks see."""

import torch
from torch.nn.functional import pad

from fuzz.check import Check, compare
from fuzz.draw import Draw
from fuzz.edits import draw_memory, every_head
from fuzz.models import draw_model, plain
from fuzz.prompts import draw_alike, draw_prompts
from slow import slow_head_out, slow_read_out, slow_run
from vitro.engine import mean_activations, read_out
from vitro.experiments.streams import clean_streams


def check_lens(draw: Draw) -> list[Check]:
    """Each stage of each layer read as if the model ended there, and each head's own output, its b_V in it."""
    model = draw_model(draw)
    prompts = draw_prompts(draw, model, at_most=4)
    streams = clean_streams(model, prompts, draw_memory(draw, model, prompts))
    slow, longest = plain(model), max(map(len, prompts))
    runs = [slow_run(slow, prompt) for prompt in prompts]
    checks = []
    for layer in range(model.shape.n_layers):
        stages = {
            "resid_pre": (streams.resid_pre[:, layer], [run.resid_pre[layer, -1] for run in runs]),
            "resid_mid": (streams.resid_mid[:, layer], [run.resid_mid[layer, -1] for run in runs]),
            "resid_post": (streams.resid_post[:, layer], [run.resid_post[layer, -1] for run in runs]),
            "mlp_out": (streams.mlp_out[:, layer], [run.mlp_out[layer, -1] for run in runs]),
        }
        for stage, (result, references) in stages.items():
            expected = slow_read_out(slow, torch.stack(references))
            checks.append(compare(f"{stage} {layer}", read_out(model, result), expected))
    for layer, head in draw.sample(every_head(model), at_most=3):
        scale = model.write_scale(layer, streams.z[:, layer])
        result = streams.z[:, layer, head] @ model.w_out(layer)[head] / (1.0 if scale is None else scale)
        reference = torch.stack([slow_head_out(slow, run, layer, head, "included") for run in runs])
        checks.append(compare(f"head {layer}.{head}", read_out(model, result), slow_read_out(slow, reference)))
        rows = [run.attention[layer, head, -1] for run in runs]
        weights = torch.stack([pad(row, (0, longest - len(row))) for row in rows])
        checks.append(compare(f"attention {layer}.{head}", streams.attention[:, layer, head], weights))
    return checks


def check_means(draw: Draw) -> list[Check]:
    """Means over sentences, some of which come more than once."""
    model = draw_model(draw)
    sentences = draw_alike(draw, model, at_least=3, at_most=8)
    sentences += [draw.one_of(sentences) for _ in range(draw.integer(0, 3))]
    means = mean_activations(model, sentences, memory=draw_memory(draw, model, sentences))
    slow = plain(model)
    runs = [slow_run(slow, sentence) for sentence in sentences]
    expected = {
        "embed": torch.stack([run.resid_pre[0] for run in runs]),
        "z": torch.stack([run.z for run in runs]),
        "mlp_out": torch.stack([run.mlp_out for run in runs]),
    }
    # Moved: a mean that were one sentence's own would be seen.
    return [compare(name, getattr(means, name), value.mean(0), value[0]) for name, value in expected.items()]
