"""Tables V4 to V11 with the columns of the method page, as a model might fill them; no chance is involved."""

import math
from collections.abc import Sequence

import polars as pl

DAYS = [" Monday", " Tuesday", " Wednesday", " Thursday", " Friday", " Saturday", " Sunday"]
PROMPT = ["<|endoftext|>", "If", " today", " is", " {subject}", ",", " tomorrow", " is"]


def wave(*numbers: float) -> float:
    """A number in [0, 1] that looks like chance and is not."""
    turn = sum(
        (number + 1) * prime for number, prime in zip(numbers, (12.9898, 78.233, 37.719, 9.151, 4.898), strict=False)
    )
    return math.sin(turn) * 43758.5453 % 1


def next_of(subjects: Sequence[str]) -> list[str]:
    """Each word's successor, in a circle."""
    return [*subjects[1:], subjects[0]]


def head_lens_table(layers: int = 12, heads: int = 12, prompts: int = 7) -> pl.DataFrame:
    """Table V4: head 1 of layer 3/4 selects, head 3 of the next layer copies, the others say little."""
    selects, copies = (3 * layers // 4, 1), (3 * layers // 4 + 1, 3 % heads)
    rows = []
    for prompt in range(prompts):
        for layer in range(layers):
            for head in range(heads):
                chance = wave(prompt, layer, head)
                answer = 0.05 * chance**6 + (0.3 + 0.2 * chance) * ((layer, head) == selects)
                subject = 0.1 * chance**4 + (0.5 + 0.2 * chance) * ((layer, head) == copies)
                rank = 0 if (layer, head) == selects or chance > 0.9 else int(chance * 6) + 1
                of_all = 0 if (layer, head) == selects else int(5_000 * chance)
                rows.append((prompt, layer, head, answer, subject, rank, of_all, 5_000 - of_all))
    ranks = ["answer_rank_among_answers", "answer_rank", "wrong_rank"]
    names = ["prompt", "layer", "head", "answer_prob", "wrong_prob", *ranks]
    copied = (pl.col("layer") == copies[0]) & (pl.col("head") == copies[1])
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.when(copied).then(0).otherwise(2).alias("subject_rank_among_words"),
        pl.lit(False).alias("subject_last_among_words"),
    )


def answer_table(words: Sequence[str] = DAYS, components: Sequence[str] = ("a9.h1", "m9")) -> pl.DataFrame:
    """Table V5: the first component says the answer, the second the subject, the others noise."""
    count = len(words)
    frames = []
    for place, component in enumerate(components):
        logits = [
            [
                10 + 3 * wave(place, prompt, answer) + 6 * (place < 2 and answer == (prompt + 1 - place) % count)
                for answer in range(count)
            ]
            for prompt in range(count)
        ]
        frames.append(
            pl.DataFrame(
                [
                    (prompt, component, words[answer], logits[prompt][answer])
                    for prompt in range(count)
                    for answer in range(count)
                ],
                schema=["prompt", "component", "answer", "logit"],
                orient="row",
            ).with_columns(((pl.col("logit") - pl.col("logit").mean()) / pl.col("logit").std()).alias("normalized"))
        )
    return pl.concat(frames)


def attention_pattern_table(
    heads: Sequence[tuple[int, int]] = ((9, 1), (10, 3)), positions: int = 8, prompts: int = 7
) -> pl.DataFrame:
    """Table `attention_pattern`: every query looks at the first position, and more and more at the fifth."""
    rows = []
    for prompt in range(prompts):
        for layer, head in heads:
            for query in range(positions):
                weights = [
                    (1.5 if key == 0 else 0.8 * max(layer - 8, 0) if key == 4 else 0.3)
                    * (0.5 + wave(prompt, layer, head, query, key))
                    for key in range(query + 1)
                ]
                rows += [(prompt, layer, head, query, key, weight / sum(weights)) for key, weight in enumerate(weights)]
    return pl.DataFrame(rows, schema=["prompt", "layer", "head", "query", "key", "weight"], orient="row")


def attention_table(
    heads: Sequence[tuple[int, int]] = ((9, 1), (10, 3)), positions: int = 8, prompts: int = 7
) -> pl.DataFrame:
    """Table V6: the last rows of those patterns."""
    last = attention_pattern_table(heads, positions, prompts).filter(pl.col("query") == positions - 1)
    return last.rename({"key": "position"}).drop("query")


def circuit_attention_table(circuits: Sequence[str] = ("C7", "C1"), positions: int = 8) -> pl.DataFrame:
    """Table `circuit_attention`: the same heads in every circuit, and one more in the first."""
    shared = attention_table(positions=positions)
    more = attention_table([(8, 11)], positions=positions)
    named = [(circuits[0], more), *((circuit, shared) for circuit in circuits)]
    return pl.concat([table.select(pl.lit(circuit).alias("circuit"), pl.all()) for circuit, table in named])


def attention_pin_table(
    heads: Sequence[str] = ("a9.h1", "a10.h3", "a9.h1+a10.h3"), positions: int = 8, prompts: int = 7
) -> pl.DataFrame:
    """Table V7 with its places, which are the positions: the subject's position, the fifth, helps; the others cost."""
    rows = [
        (
            prompt,
            pinned,
            position,
            0.22
            + 0.08 * wave(prompt)
            + (0 if position is None else (0.12 if position == 4 else -0.06 - 0.08 * wave(number, position))),
        )
        for number, pinned in enumerate(heads)
        for prompt in range(prompts)
        for position in (None, *range(positions))
    ]
    schema = {"prompt": pl.Int64, "heads": pl.String, "place": pl.Int64, "answer_prob": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def layer_lens_table(layers: int = 12, prompts: int = 7) -> pl.DataFrame:
    """Table V8: first the subject rises, then the answer; the stream before a layer is the one after the last."""
    rows = []
    for prompt in range(prompts):
        for layer in range(layers):
            for step, stage in ((0.0, "pre"), (0.5, "mid"), (1.0, "post")):
                depth = (layer + step) / layers
                answer = (0.25 + 0.1 * wave(prompt)) / (1 + math.exp(-30 * (depth - 0.8)))
                subject = 0.12 * math.exp(-(((depth - 0.75 - 0.03 * wave(prompt)) / 0.08) ** 2))
                rows.append((prompt, layer, stage, answer, subject, 0 if depth > 0.8 else 1))
    names = ["prompt", "layer", "stage", "answer_prob", "wrong_prob", "answer_rank_among_answers"]
    return pl.DataFrame(rows, schema=names, orient="row")


def layer_lens_top_table(words: Sequence[str] = DAYS, layers: int = 12) -> pl.DataFrame:
    """Table V8's top tokens: a word of no use, then "tomorrow", then the answer."""
    answers = next_of(words)
    rows = []
    for prompt in range(len(words)):
        for layer in range(layers):
            depth = layer / layers
            top = (
                answers[prompt]
                if depth > 0.8
                else " tomorrow"
                if depth > 0.6
                else [" not", " the", "\n", " a"][layer % 4]
            )
            lower = [words[prompt], " today", " that", " the", " also", ",", " now", " it", " then"]
            for rank, token in enumerate([top, *lower]):
                rows.append((prompt, layer, "post", rank, token, (0.05 + 0.5 * depth) / (rank + 1)))
                rows.append((prompt, layer, "mid", rank, token, 0.01))
    return pl.DataFrame(rows, schema=["prompt", "layer", "stage", "rank", "token", "prob"], orient="row")


def stream_top_table(tokens: Sequence[str] = PROMPT, layers: int = 12) -> pl.DataFrame:
    """Table V9 of one prompt: each stream is its own token at first, then a word of no use."""
    words = [" the", ",", " morning", " (", " and", "\n", "'s", " of", " a", " to"]
    rows = [
        (0, layer, position, rank, token if rank == 0 and layer < 4 else words[(rank + position + layer) % 10])
        for layer in range(layers)
        for position, token in enumerate(tokens)
        for rank in range(10)
    ]
    return pl.DataFrame(rows, schema=["prompt", "layer", "position", "rank", "token"], orient="row")


ALPHAS = (-5.0, -1.0, 0.0, 1.0, 5.0, 100.0)


def steering_table(prompts: int = 7, alphas: Sequence[float] = ALPHAS) -> pl.DataFrame:
    """Table V10: the answer falls on both sides of 0."""
    rows = [
        (prompt, alpha, (0.2 + 0.05 * wave(prompt)) * math.exp(-abs(alpha) / 20), 0.02 + 0.01 * wave(prompt, alpha))
        for prompt in range(prompts)
        for alpha in alphas
    ]
    return pl.DataFrame(rows, schema=["prompt", "alpha", "answer_prob", "wrong_prob"], orient="row")


def steering_attention_table(
    heads: Sequence[tuple[int, int]] = ((9, 1), (10, 3), (8, 1)), prompts: int = 7, alphas: Sequence[float] = ALPHAS
) -> pl.DataFrame:
    """Table V10's attention: it grows with alpha."""
    rows = [
        (prompt, alpha, layer, head, (0.8 + 0.1 * wave(prompt, layer)) / (1 + math.exp(-alpha / 3 - layer + 9.5)))
        for prompt in range(prompts)
        for alpha in alphas
        for layer, head in heads
    ]
    return pl.DataFrame(rows, schema=["prompt", "alpha", "layer", "head", "weight"], orient="row")


def steering_vector_table(token: str = " tomorrow", positions: str = "final") -> pl.DataFrame:
    """What was added, and where, and the mark to which attention is read."""
    return pl.DataFrame(
        {"token": [token], "layer": [8], "direction": ["folded"], "positions": [positions], "mark": ["subject"]}
    )


def mlp_local_table(layers: int = 12, prompts: int = 7) -> pl.DataFrame:
    """Table V11: the deeper the MLP the larger what it does, for better or worse."""
    rows = [
        (prompt, layer, 0.1, 0.1 + 0.01 * layer * (wave(layer) - 0.4 + 0.4 * wave(prompt, layer)))
        for prompt in range(prompts)
        for layer in range(layers)
    ]
    return pl.DataFrame(rows, schema=["prompt", "layer", "answer_prob_before", "answer_prob_after"], orient="row")
