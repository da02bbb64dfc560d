"""What is read off final logits, against softmax in float64 over plain logits."""

import torch
from torch import Tensor

from fuzz.check import LIMIT, Check, agree, compare
from fuzz.draw import Draw
from fuzz.edits import draw_memory, draw_variant
from fuzz.models import draw_model, plain
from fuzz.prompts import draw_prompts
from slow import slow_logits
from vitro.engine import Finals, Variant, sweep


def check_readings(draw: Draw) -> list[Check]:
    """`at`, `prob`, `log_normaliser`, `kl`, `among`, `rank` and `top` of some variants and the clean run."""
    model = draw_model(draw)
    prompts = draw_prompts(draw, model)
    n_vocab = model.shape.d_vocab
    tokens = torch.tensor([draw.integer(0, n_vocab - 1) for _ in prompts])
    among = torch.tensor(draw.sample(range(n_vocab), at_most=6))
    variants: list[Variant] = [(), *(draw_variant(draw, model, prompts) for _ in range(3))]

    def read(finals: Finals) -> dict[str, Tensor]:
        asked = tokens[finals.prompts]
        top, top_prob = finals.top()
        return {
            "at": finals.at(asked),
            "prob": finals.prob(asked),
            "log_normaliser": finals.log_normaliser,
            "kl": finals.kl,
            "among": finals.among(among),
            "rank": finals.rank(asked),
            "top": top,
            "top_prob": top_prob,
        }

    results = sweep(model, prompts, variants, read, memory=draw_memory(draw, model, prompts))
    slow = plain(model)
    logits = slow_logits(slow, prompts, variants).double()
    logs = logits.log_softmax(-1)
    scale = float(logits.abs().max())
    token_logits = logits.gather(-1, tokens.expand(len(variants), -1)[..., None])
    expected = {
        "at": token_logits[..., 0],
        "prob": logs.exp().gather(-1, tokens.expand(len(variants), -1)[..., None])[..., 0],
        "log_normaliser": logits.logsumexp(-1),
        "kl": (logs[0].exp() * (logs[0] - logs)).sum(-1),
        "among": logits[..., among],
        "top_prob": logs.exp().amax(-1),
    }
    checks = []
    for name, value in expected.items():
        # A probability is off by itself times what its logit is off by, a divergence by what the logits are.
        unit = max(scale, 1.0) if "prob" in name else scale
        apart = float((results[name].double() - value).abs().max()) / unit
        first = value[0] if name != "kl" else torch.zeros_like(value[0])
        moved = float((value[1:] - first).abs().max() / value.abs().max().clamp_min(1e-30))
        checks.append(Check(name, apart, moved))
    near = LIMIT * scale
    low, high = (logits > token_logits + near).sum(-1), (logits >= token_logits - near).sum(-1) - 1
    checks.append(agree("rank", bool(((results["rank"] >= low) & (results["rank"] <= high)).all())))
    best = logits.gather(-1, results["top"][..., None])[..., 0]
    checks.append(compare("top", best, logits.amax(-1)))
    return checks
