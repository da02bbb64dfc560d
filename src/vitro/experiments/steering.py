"""V10, steering: what a token's direction, added to the stream, does to the answer and to the heads' attention."""

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from vitro.engine import Edit, Finals, Variant, pattern, resid_post
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.key_heads import key_heads
from vitro.experiments.setup import DEFAULT_OPTIONS, Options, Setup, Tables
from vitro.figures import steering as figure
from vitro.models import Model
from vitro.tasks import Task


def steering_direction(setup: Setup, token: int) -> Float[Tensor, " d_model"]:
    """A token's column of W_U: raw, or folded as TransformerLens does: times the final norm's weight, then centred.

    It is centred over the vocabulary, and over d_model where the final norm subtracts the mean (LayerNorm).
    """
    weight = setup.model.w_unembed
    if setup.options.unembed_direction == "raw":
        return weight[token].clone()
    norm = setup.model.norm_module
    direction: Tensor = (weight[token] - weight.mean(0)) * norm.weight
    return direction - direction.mean() if isinstance(norm, torch.nn.LayerNorm) else direction


def steer_layer(setup: Setup) -> int:
    """The layer after which it is added: the one asked for, or the last before the first key head."""
    if setup.options.steer_layer is not None:
        return setup.options.steer_layer
    layer, _ = key_heads(setup)[0]
    return max(layer - 1, 0)


def run(setup: Setup) -> Tables:
    """Tables `steering` and `steering_attention` (key heads, final stream to subject), per prompt and alpha.

    Table `steering_vector` has one row: whose direction was added, after which layer, which direction, and where.
    """
    answers, subjects, _ = setup.token_ids
    heads, alphas = key_heads(setup), setup.options.alphas
    sites = {pattern(layer, head): f"a{layer}.h{head}" for layer, head in heads}
    positions = (-1,) if setup.options.steer_positions == "final" else None
    with torch.inference_mode():
        direction = steering_direction(setup, setup.steer_token)
    pushed = resid_post(steer_layer(setup))
    variants: list[Variant] = [(Edit(pushed, alpha * direction, how="add", positions=positions),) for alpha in alphas]

    def read(finals: Finals) -> dict[str, Tensor]:
        part = finals.prompts
        attention = {name: finals.attention[site][..., setup.prompts.subject_position] for site, name in sites.items()}
        return {"answer_prob": finals.prob(answers[part]), "subject_prob": finals.prob(subjects[part]), **attention}

    found = setup.sweep(variants, read, "steering", watch=tuple(sites))
    n_prompts = len(setup.prompts.tokens)
    where = {"prompt": np.tile(np.arange(n_prompts), len(alphas)), "alpha": np.repeat(np.array(alphas), n_prompts)}
    probs = {name: found[name].flatten().numpy() for name in ("answer_prob", "subject_prob")}
    attention = [
        pl.DataFrame(
            {
                **where,
                "layer": np.full(len(where["prompt"]), site.layer),
                "head": np.full(len(where["prompt"]), site.head),
                "weight": found[name].flatten().numpy(),
            }
        )
        for site, name in sites.items()
    ]
    vector = {
        "token": setup.token_text([setup.steer_token]),
        "layer": [pushed.layer],
        "direction": [setup.options.unembed_direction],
        "positions": [setup.options.steer_positions],
    }
    return {
        "steering": pl.DataFrame({**where, **probs}),
        "steering_attention": pl.concat(attention),
        "steering_vector": pl.DataFrame(vector),
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """For every alpha: mean probabilities, and each head's mean attention from the final stream to the subject."""
    probs = tables["steering"].group_by("alpha").agg(pl.col("answer_prob", "subject_prob").mean())
    attention = (
        tables["steering_attention"]
        .with_columns(pl.format("a{}.h{} to subject", "layer", "head").alias("head"))
        .group_by("alpha", "head", maintain_order=True)
        .agg(pl.col("weight").mean())
        .pivot("head", index="alpha", values="weight")
    )
    return probs.join(attention, on="alpha").sort("alpha")


def summary(tables: Tables) -> str:
    """What the largest push does to the answer and to the first key head's attention."""
    vector = tables["steering_vector"].row(0, named=True)
    name = tables["steering_attention"].select(pl.format("a{}.h{}", "layer", "head")).item(0, 0)
    table = numbers(tables)
    alpha = max(table["alpha"])
    row = table.filter(alpha=alpha).row(0, named=True)
    n_prompts = tables["steering"]["prompt"].n_unique()
    plain = table.filter(alpha=0.0)
    beside = [
        f" (without: {plain[column][0]:.3g})" if len(plain) else "" for column in (f"{name} to subject", "answer_prob")
    ]
    return (
        f"With {alpha:g} times the direction of {vector['token']!r} added after layer {vector['layer']}, {name} gives "
        f"the subject {row[f'{name} to subject']:.3g} of its attention{beside[0]}, and the answer's probability is "
        f"{row['answer_prob']:.3g}{beside[1]}, on average over {n_prompts} prompts."
    )


STEERING = Experiment(
    name="steering",
    title="Steering",
    reading="A token's unembedding direction (by default the task's last content word's, after the layer before the "
    "first key head) is added to the stream alpha times: on the left what becomes of the answer, on the right how "
    "much each key head attends to the subject.",
    python="vitro.steer(model, task)",
    tables=("steering", "steering_attention", "steering_vector"),
    run=run,
    figures=lambda tables: {
        "steering": figure(tables["steering"], tables["steering_attention"], tables["steering_vector"])
    },
    numbers=numbers,
    summary=summary,
)


def steer(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Steering by a token's direction (method.md V10; the post, "Logit lens applied to layers")."""
    return STEERING.measure(model, task, options)
