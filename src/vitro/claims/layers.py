"""Attention, the logit lens on layers, steering and MLPs: claims 18 to 29."""

from dataclasses import replace

import polars as pl

from vitro.claims.claim import Claim, Finding, Head, Tables, digits, mean_of, measured, of_head
from vitro.tables import best_to_worst

ATTENTION, LAYERS, MLPS = "Attention patterns", "Logit lens applied to layers", "Layer MLPs"


def _to_positions(tables: Tables, head: Head) -> dict[int, float]:
    """A head's mean attention from the final stream to every position."""
    by_position = of_head(tables["attention"], head).group_by("position").agg(pl.col("weight").mean())
    return dict(by_position.sort("position").iter_rows())


def _subject(tables: Tables) -> int:
    return int(tables["prompts"].filter(role="subject")["position"][0])


def attention_10_3(tables: Tables) -> Finding:
    value = _to_positions(tables, Head(10, 3))[_subject(tables)]
    return measured([value], [0.7133], 0.002)


def attention_9_1(tables: Tables) -> Finding:
    weights = _to_positions(tables, Head(9, 1))
    value, most = weights[_subject(tables)], max(weights, key=lambda position: weights[position])
    finding = measured([value], [0.2097], 0.002, f"; most on stream {most}")
    return replace(finding, holds=finding.holds and most == 0)


def _pinned(tables: Tables, heads: str) -> dict[int | None, float]:
    rows = tables["attention_pin"].filter(heads=heads)
    return dict(rows.group_by("position").agg(pl.col("answer_prob").mean()).iter_rows())


def pin_9_1(tables: Tables) -> Finding:
    probs = _pinned(tables, "a9.h1")
    pinned, clean = probs[_subject(tables)], probs[None]
    return Finding(f"{digits(pinned)}, clean {digits(clean)}", pinned > clean)


def pin_both(tables: Tables) -> Finding:
    probs = _pinned(tables, "a9.h1+a10.h3")
    clean = probs.pop(None)
    above = sorted(position for position, value in probs.items() if position is not None and value > clean)
    best = max(probs, key=lambda position: probs[position])
    return Finding(f"best {best}; above clean: {above}", above == [_subject(tables)] == [best])


def subject_stream(tables: Tables) -> Finding:
    here = tables["stream_top"].filter(pl.col("position") == _subject(tables), pl.col("layer").is_in([9, 10]))
    tokens = here.join(tables["clean"].select("prompt", "wrong"), on="prompt")
    # The subject never appears, with or without its space.
    hits = tokens.filter(pl.col("token").str.strip_chars() == pl.col("wrong")).n_unique(["prompt", "layer"])
    return Finding(f"{hits} of 14", hits == 0)


def peak(tables: Tables) -> Finding:
    after = tables["layer_lens"].filter(stage="post").group_by("layer").agg(pl.col("answer_prob").mean())
    layer = after.sort("answer_prob", descending=True)["layer"][0]
    return Finding(str(layer), layer == 10)


def tomorrow(tables: Tables) -> Finding:
    top = tables["layer_lens_top"].filter(
        pl.col("stage") == "post", pl.col("rank") == 0, pl.col("token") == " tomorrow"
    )
    counts = [top.filter(layer=layer).height for layer in (8, 9, 10)]
    return Finding("in {}, {} and {} prompts".format(*counts), counts == [6, 6, 0])


def _leading(tables: Tables, component: str, column: str) -> list[int]:
    """The prompts in which the subject or the answer leads the other days in a component's answer table."""
    table = tables["answer_table"].filter(component=component).sort("logit", descending=True)
    tops = table.group_by("prompt", maintain_order=True).agg(pl.col("answer").first().alias("top"))
    words = tables["clean"].select("prompt", pl.col(column).alias("word"))
    return sorted(tops.join(words, on="prompt").filter(pl.col("top") == pl.col("word"))["prompt"])


def leads(tables: Tables) -> Finding:
    answer, subject = _leading(tables, "resid_post9", "answer"), _leading(tables, "resid_post8", "wrong")
    words = f"after 9 the answer in prompts {answer}; after 8 the subject in {len(subject)}"
    return Finding(words, answer == [1, 2, 3, 4, 5, 6] and len(subject) == 7)


STEERED = {-1.0: 0.1522, -5.0: 0.03221, 5.0: 0.5864, 100.0: 0.7499}
"""The post's mean attention of 9.1 to the subject, by alpha."""


def _steered(tables: Tables, alphas: tuple[float, ...], words: str = "") -> Finding:
    table = of_head(tables["steering_attention"], Head(9, 1))
    weights = [mean_of(table.filter(alpha=alpha), "weight") for alpha in alphas]
    return measured(weights, [STEERED[alpha] for alpha in alphas], 0.002, words)


def steer_down(tables: Tables) -> Finding:
    probs = [mean_of(tables["steering"].filter(alpha=alpha), "answer_prob") for alpha in (0.0, -1.0, -5.0)]
    falls = probs[0] > probs[1] > probs[2]
    finding = _steered(tables, (-1.0, -5.0), "; it falls" if falls else "; it does not fall")
    return replace(finding, holds=finding.holds and falls)


def steer_up(tables: Tables) -> Finding:
    return _steered(tables, (5.0, 100.0))


def mlp_local(tables: Tables) -> Finding:
    order = best_to_worst(tables["mlp_local"])
    return Finding(f"{order[0]}; {order[-1]}", (order[0], order[-1]) == (9, 7))


def mlp_zero(tables: Tables) -> Finding:
    table = tables["mlp_ablation"].filter(method="zero")
    by_layer = table.group_by("layer").agg(pl.col("answer_prob_change").mean()).sort("answer_prob_change", "layer")
    return Finding(str(by_layer["layer"][0]), by_layer["layer"][0] == 0)


CLAIMS = (
    Claim(18, ATTENTION, "mean attention from the final stream to the subject, 10.3", "0.7133 ± 0.002", attention_10_3),
    Claim(19, ATTENTION, "the same, 9.1; most of the rest on BOS", "0.2097 ± 0.002; most on stream 0", attention_9_1),
    Claim(20, ATTENTION, "9.1 pinned to the subject beats clean", "> clean", pin_9_1),
    Claim(21, ATTENTION, "9.1 and 10.3 pinned: the subject's stream is best, alone above clean", "stream 4", pin_both),
    Claim(22, ATTENTION, "the subject in the top 10 of its stream at layers 9 and 10", "0 of 14", subject_stream),
    Claim(23, LAYERS, "the mean answer probability peaks at the end of layer", "10", peak),
    Claim(24, LAYERS, "' tomorrow' is the top token after layers 8 and 9 but for one prompt, never after 10",
          "in 6, 6 and 0 prompts", tomorrow),
    Claim(25, LAYERS, "after layer 9 the answer leads the days but for Monday; after 8 the subject does",
          "prompts 1 to 6; 7", leads),
    Claim(26, LAYERS, "' tomorrow' times -1 / -5 at layer 8: attention of 9.1 to the subject; the answer falls",
          "0.1522 / 0.03221 ± 0.002; it falls", steer_down),
    Claim(27, LAYERS, "the same times 5 / 100", "0.5864 / 0.7499 ± 0.002", steer_up),
    Claim(28, MLPS, "on the spot, the best and the worst MLP", "9; 7", mlp_local),
    Claim(29, MLPS, "zeroing one MLP, the worst is that of layer", "0", mlp_zero),
)  # fmt: skip
