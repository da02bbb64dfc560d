"""V10, steering: how adding a token's direction to the stream changes the answer and the heads' attention."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from vitro.engine import Edit, Finals, Variant, pattern, resid_post
from vitro.experiments.ablation import metric_columns
from vitro.experiments.effects import LEVELS, levels
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.key_heads import key_heads
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import steering as figure
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, counted, head_name, said, the
from vitro.tasks import FINAL, Task

BOTH = "right - wrong"
"""The name of the direction from wrong to right."""


def token_directions(setup: Setup, tokens: Sequence[int]) -> Float[Tensor, "token d_model"]:
    """Tokens' columns of W_U: raw, or folded as TransformerLens does: times the final norm's weight, then centred.

    They are centred over the vocabulary, and over d_model where the final norm subtracts the mean (LayerNorm).
    """
    weight = setup.model.w_unembed
    rows = weight[torch.tensor(tokens, device=weight.device)]
    if setup.options.unembed_direction == "raw":
        return rows
    norm = setup.model.readout.norm
    return norm.centre((rows - weight.mean(0)) * norm.gain.to(rows))


def steering_direction(setup: Setup) -> Float[Tensor, "#prompt 1 d_model"]:
    """The steering token's direction or, where there is none, each prompt's right minus its wrong."""
    if setup.steer_token is not None:
        return token_directions(setup, [setup.steer_token])[None]
    pairs = zip(setup.questions.right, setup.questions.wrong, strict=True)
    return torch.stack(
        [
            token_directions(setup, right).mean(0, keepdim=True) - token_directions(setup, wrong).mean(0, keepdim=True)
            for right, wrong in pairs
        ]
    )


def steer_layer(setup: Setup) -> int:
    """The layer after which it is added: the requested one, or the last before the first key head."""
    if setup.options.steer_layer is not None:
        return setup.options.steer_layer
    layer, _ = key_heads(setup)[0]
    return max(layer - 1, 0)


def run(setup: Setup) -> Tables:
    """Tables `steering` and `steering_attention` (key heads, final stream to a mark), per prompt and alpha.

    Table `steering_vector` has one row: the token, layer, direction and positions of what was added, and the mark to
    which attention is read (the subject, or the task's first mark).
    """
    heads, alphas, questions = key_heads(setup), setup.options.alphas, setup.questions
    sites = {pattern(*head): str(head) for head in heads}
    positions = (-1,) if setup.options.steer_positions == "final" else None
    with torch.inference_mode():
        direction = steering_direction(setup)
    pushed = resid_post(steer_layer(setup))
    variants: list[Variant] = [(Edit(pushed, alpha * direction, how="add", positions=positions),) for alpha in alphas]
    mark = next((name for name in ("subject", *questions.marks) if name in questions.marks and name != FINAL), FINAL)
    places = torch.tensor(questions.marks[mark], device=setup.model.device)
    level = levels(setup)

    def read(finals: Finals) -> dict[str, Tensor]:
        at = places[finals.prompts][None, :, None]
        attention = {
            name: finals.attention[site].gather(-1, at.expand(finals.n_rows, -1, -1))[..., 0]
            for site, name in sites.items()
        }
        wrong = setup.asked[finals.prompts].of_logits(finals).wrong_prob()
        return {**level(finals), "wrong_prob": wrong, **attention}

    values = setup.sweep(variants, read, "steering", watch=tuple(sites))
    n_prompts = len(questions)
    where = {"prompt": np.tile(np.arange(n_prompts), len(alphas)), "alpha": np.repeat(np.array(alphas), n_prompts)}
    attention = [
        pl.DataFrame(
            {
                **where,
                "layer": np.full(len(where["prompt"]), site.layer),
                "head": np.full(len(where["prompt"]), site.head),
                "weight": values[name].flatten().numpy(),
            }
        )
        for site, name in sites.items()
    ]
    vector = {
        "token": [BOTH] if setup.steer_token is None else setup.token_text([setup.steer_token]),
        "layer": [pushed.layer],
        "direction": [setup.options.unembed_direction],
        "positions": [setup.options.steer_positions],
        "mark": [mark],
    }
    return {
        "steering": pl.DataFrame({**where, **metric_columns(values, [*LEVELS, "wrong_prob"], n_prompts * len(alphas))}),
        "steering_attention": pl.concat(attention),
        "steering_vector": pl.DataFrame(vector),
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """For every alpha: mean probabilities, and each head's mean attention from the final stream to the subject."""
    mark = tables["steering_vector"]["mark"][0]
    wrong = f"mean prob of {the(said(tables).wrong)}"
    probs = (
        tables["steering"]
        .group_by("alpha")
        .agg(pl.col("answer_prob").mean().alias("mean answer prob"), pl.col("wrong_prob").mean().alias(wrong))
    )
    attention = (
        tables["steering_attention"]
        .with_columns(pl.concat_str(head_name(), pl.lit(f" to {the(mark)}")).alias("head"))
        .group_by("alpha", "head", maintain_order=True)
        .agg(pl.col("weight").mean())
        .pivot("head", index="alpha", values="weight")
    )
    return probs.join(attention, on="alpha").sort("alpha")


def summary(tables: Tables) -> str:
    """How the largest alpha changes the answer and the first key head's attention."""
    vector = tables["steering_vector"].row(0, named=True)
    along = "from wrong to right" if vector["token"] == BOTH else f"of {vector['token']!r}"
    name = tables["steering_attention"].select(head_name()).item(0, 0)
    table = numbers(tables)
    alpha = max(table["alpha"])
    row = table.filter(alpha=alpha).row(0, named=True)
    n_prompts = tables["steering"]["prompt"].n_unique()
    plain = table.filter(alpha=0.0)
    beside = [
        f" (without: {plain[column][0]:.3g})" if len(plain) else ""
        for column in (f"{name} to {the(vector['mark'])}", "mean answer prob")
    ]
    return (
        f"With {alpha:g} times the direction {along} added after layer {vector['layer']}, {name} gives "
        f"{the(vector['mark'])} {row[f'{name} to ' + the(vector['mark'])]:.3g} of its attention{beside[0]}, and the "
        f"answer's probability is "
        f"{row['mean answer prob']:.3g}{beside[1]}, on average over {counted(n_prompts)}."
    )


STEERING = Experiment(
    name="steering",
    title="Steering",
    reading="A token's unembedding direction, or that from wrong to right, is added to the stream alpha times: on the "
    "left what becomes of the answer, on the right how much each key head attends to the subject or the first mark.",
    python="m.steer()",
    tables=("steering", "steering_attention", "steering_vector"),
    run=run,
    figures=lambda tables: {
        "steering": figure(tables["steering"], tables["steering_attention"], tables["steering_vector"], said(tables))
    },
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
    asks=("direction",),
)


def steer(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Steering by a token's direction (docs/method.md, V10; the post, "Logit lens applied to layers").

    Table `steering` has a row per prompt and alpha: every metric when alpha times the direction is added to the stream.
    Table `steering_attention` has the key heads' attention to the subject (or first mark), and `steering_vector` says
    which direction was added, after which layer, and where.

    Raises `OptionError` where a prompt has no wrong answer and no steering token is given, or an option does not fit.

    >>> vitro.steer(model, task, vitro.Options(alphas=(0.0, 5.0))).numbers.columns[:4]
    ['alpha', 'mean answer prob', 'mean prob of the subject', 'a1.h1 to the subject']
    """
    return STEERING.measure(model, task, options)
