"""Tables of circuits: parts of the model on their own, and how good they are."""

from vitro.tables.columns import (
    ANSWER_RANK,
    CIRCUIT,
    HEAD,
    KL,
    LAYER,
    LEVELS,
    LOGIT,
    MODEL_LEVELS,
    NORMALIZED,
    POSITION,
    PROMPT,
    TOP_PROB,
    TOP_TOKEN,
    WEIGHT,
    WRONG_PROB,
    levels,
)
from vitro.tables.schema import Schema, text, truth, whole

SCHEMAS = (
    Schema(
        "keep_curve",
        "each number of heads and prompt: only the strongest are live, the others ablated",
        "keep_curve",
        (whole("k", "how many heads are live"), PROMPT, *LEVELS, KL),
    ),
    Schema(
        "circuits",
        "each circuit (C1 to C9) and prompt",
        "circuits",
        (CIRCUIT, PROMPT, *LEVELS, ANSWER_RANK, WRONG_PROB, TOP_TOKEN, TOP_PROB),
    ),
    Schema(
        "circuit_answer_table",
        "each prompt, circuit and answer of the closed list",
        "circuits",
        (PROMPT, CIRCUIT, text("answer", "the answer in words"), LOGIT, NORMALIZED),
    ),
    Schema(
        "circuit_attention",
        "each circuit, prompt, position and own head (those wired, and of a stream those that it keeps: "
        "[circuits.md](circuits.md)): from the final position",
        "circuits",
        (CIRCUIT, PROMPT, LAYER, HEAD, POSITION, WEIGHT),
    ),
    Schema(
        "circuit_wiring",
        "each circuit",
        "circuits",
        (
            CIRCUIT,
            text("text", "the wiring, as `vitro circuit` and `Circuit.wire` read it"),
            whole("n_heads", "the heads of a layer of the model"),
        ),
    ),
    Schema(
        "judged_circuit",
        "the circuit that the next four tables are about, in a study C7; one row",
        "judged_circuit",
        (text("text", "its wiring"),),
    ),
    Schema(
        "faithfulness",
        "each template and prompt: the circuit beside the model",
        "judged_circuit",
        (text("template", "the task's own, then its paraphrases"), PROMPT, *LEVELS, KL, *MODEL_LEVELS),
    ),
    Schema(
        "minimality",
        "each component left out, and prompt",
        "judged_circuit",
        (text("left_out", "the component; null for the whole circuit", nullable=True), PROMPT, *LEVELS, KL),
    ),
    Schema(
        "completeness",
        "each part knocked out, and prompt; `<metric>` is of the circuit without it (null where nothing is left), "
        "`model_<metric>` of the model with it ablated",
        "judged_circuit",
        (
            text("knocked_out", "the part: `a9.h1+m9`"),
            whole("size", "how many components it has"),
            truth("whole", "whether it is all of the circuit"),
            PROMPT,
            *levels(always=False),
            *MODEL_LEVELS,
        ),
    ),
    Schema(
        "random_circuits",
        "each random circuit (the same wiring with other heads and MLPs) and prompt",
        "judged_circuit",
        (whole("number", "the circuit; 0 is the judged one"), PROMPT, *LEVELS, KL),
    ),
)
