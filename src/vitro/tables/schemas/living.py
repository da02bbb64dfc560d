"""Tables of what the heads, MLPs and streams of the living model do."""

from vitro.tables.columns import (
    ALPHA,
    ANSWER_PROB,
    ANSWER_RANK,
    CHANGE_COLUMNS,
    HEAD,
    KL,
    LAYER,
    LEVELS,
    LISTED_RANK,
    LOGIT,
    METHOD,
    NATS,
    NORMALIZED,
    POSITION,
    PROB,
    PROBABILITY,
    PROMPT,
    RANK,
    STAGE,
    TOKEN,
    WEIGHT,
    WRONG_PROB,
    WRONG_RANK,
)
from vitro.tables.schema import Schema, text, truth, value, whole

SCHEMAS = (
    Schema(
        "head_ablation",
        "each prompt, kind of ablation and head, ablated alone",
        "head_ablation",
        (PROMPT, METHOD, LAYER, HEAD, *CHANGE_COLUMNS, KL),
    ),
    Schema(
        "head_lens",
        "each prompt and head: the logit lens on its own output at the final position",
        "head_lens",
        (
            PROMPT,
            LAYER,
            HEAD,
            ANSWER_PROB,
            WRONG_PROB,
            LISTED_RANK,
            ANSWER_RANK,
            WRONG_RANK,
            whole(
                "subject_rank_among_words",
                "0: the subject is above all other words of the task (its subjects and answers); null where a task has "
                "no subject",
                nullable=True,
            ),
            truth("subject_last_among_words", "whether it is below all of them", nullable=True),
        ),
    ),
    Schema(
        "head_lens_top",
        "each prompt, head and rank",
        "head_lens",
        (PROMPT, LAYER, HEAD, RANK, TOKEN, PROB),
    ),
    Schema(
        "key_heads",
        "each key head, in the order in which all sections show them; of the task, not of a prompt",
        "key_heads",
        (
            LAYER,
            HEAD,
            text(
                "why",
                "the rules that chose it: selective, mean ablation, random ablation, copying or, where none copies, "
                "subject; suppressing, said of those chosen by the others; asked for",
            ),
        ),
    ),
    Schema(
        "layer_lens",
        "each prompt, layer and stage",
        "layer_lens",
        (PROMPT, LAYER, STAGE, ANSWER_PROB, WRONG_PROB, LISTED_RANK),
    ),
    Schema(
        "layer_lens_top",
        "each prompt, layer, stage and rank",
        "layer_lens",
        (PROMPT, LAYER, STAGE, RANK, TOKEN, PROB),
    ),
    Schema(
        "mlp_local",
        "each prompt and layer: the layer lens on both sides of the MLP",
        "mlp_local",
        (
            PROMPT,
            LAYER,
            value("answer_prob_before", "the answer's probability before the MLP", PROBABILITY),
            value("answer_prob_after", "and after it", PROBABILITY),
        ),
    ),
    Schema(
        "mlp_ablation",
        "each prompt, kind of ablation and MLP, ablated alone",
        "mlp_ablation",
        (PROMPT, METHOD, LAYER, *CHANGE_COLUMNS, KL),
    ),
    Schema(
        "direct_attribution",
        "each prompt and component",
        "direct_attribution",
        (
            PROMPT,
            text(
                "component",
                "`embed`, `pos_embed`, `a9.h1`, `m9`, `b9` (the bias of a layer's heads), `norm` or `unembed` (their "
                "biases)",
            ),
            text("kind", "embedding, head, MLP or bias"),
            whole("layer", "its layer, where it has one", nullable=True),
            whole("head", "the head, where it is one", nullable=True),
            value("share", "its part of `logit_diff`; all of a prompt sum to it", NATS),
        ),
    ),
    Schema(
        "answer_table",
        "each prompt, component and answer of the closed list",
        "answer_table",
        (
            PROMPT,
            text("component", "`a9.h1`, `m9`, `resid_post9` or `logits`"),
            text("answer", "the answer in words"),
            LOGIT,
            NORMALIZED,
        ),
    ),
    Schema(
        "attention",
        "each prompt, head and position that its final position looks at",
        "attention",
        (PROMPT, LAYER, HEAD, POSITION, WEIGHT),
    ),
    Schema(
        "attention_pattern",
        "each prompt, key head and pair of positions",
        "attention",
        (
            PROMPT,
            LAYER,
            HEAD,
            whole("query", "the position that looks"),
            whole("key", "the position that is looked at"),
            WEIGHT,
        ),
    ),
    Schema(
        "attention_pin",
        "each prompt, pinned heads and place, and the clean run",
        "attention_pin",
        (
            PROMPT,
            text("heads", "the heads pinned together: `a9.h1+a10.h3`"),
            whole("position", "where to; null for the clean run", nullable=True),
            text("mark", "the mark that names the place, where one does", nullable=True),
            *LEVELS,
            KL,
        ),
    ),
    Schema(
        "stream_top",
        "each prompt, layer, position and rank: the stream as the input of the layer",
        "stream_top",
        (PROMPT, LAYER, POSITION, RANK, TOKEN),
    ),
    Schema(
        "steering",
        "each prompt and alpha",
        "steering",
        (PROMPT, ALPHA, *LEVELS, KL, WRONG_PROB),
    ),
    Schema(
        "steering_attention",
        "each prompt, alpha and key head: its attention from the final position to the mark of `steering_vector`",
        "steering",
        (PROMPT, ALPHA, LAYER, HEAD, WEIGHT),
    ),
    Schema(
        "steering_vector",
        "what was added; one row",
        "steering",
        (
            text("token", "whose direction it is, or `right - wrong`"),
            whole("layer", "after which layer"),
            text("direction", "folded or raw"),
            text("positions", "final or all"),
            text("mark", "the mark to which attention is read"),
        ),
    ),
)
