"""Tables of what is asked and answered."""

from vitro.tables.columns import (
    ANSWER_RANK,
    LABEL,
    LEVELS,
    POSITION,
    PROMPT,
    RIGHT,
    TOKEN,
    TOKEN_ID,
    TOP_PROB,
    TOP_TOKEN,
    WRONG,
    WRONG_PROB,
)
from vitro.tables.schema import Schema, text, truth, whole

SCHEMAS = (
    Schema(
        "prompts",
        "each token of each prompt",
        "prompts",
        (
            PROMPT,
            POSITION,
            TOKEN_ID,
            TOKEN,
            text("role", "bos, template, content (a word that carries the task), subject, mark, or final"),
            text("mark", "the first mark that names the position", nullable=True),
        ),
    ),
    Schema(
        "task",
        "the task; one row",
        "prompts",
        (
            text("name", "the task's name"),
            text("right", "what a right answer is called in sentences"),
            text("wrong", "what a wrong one is called"),
            text("metric", "the metric that rankings and summaries go by"),
            text("unit", "its unit"),
            text("words", "the metric in words"),
            text("ablation", "the kind of ablation that they go by"),
            whole("n_prompts", "how many prompts there are"),
            whole("n_swept", "on how many of them every component is ablated in turn"),
            whole("n_groups", "of how many kinds they are"),
            whole("n_answers", "how long the closed list of answers is; 0 where there is none"),
            truth("one_length", "whether all have the same number of tokens"),
        ),
    ),
    Schema(
        "questions",
        "each prompt",
        "prompts",
        (
            PROMPT,
            LABEL,
            text("group", "the kind of prompt, such as its template; null where all are of one kind", nullable=True),
            RIGHT,
            WRONG,
            whole("n_tokens", "how many tokens it has"),
        ),
    ),
    Schema(
        "clean",
        "each prompt, with nothing edited",
        "clean",
        (PROMPT, LABEL, RIGHT, WRONG, *LEVELS, ANSWER_RANK, WRONG_PROB, TOP_TOKEN, TOP_PROB),
    ),
    Schema(
        "datasets",
        "each token of the sentences over which random and mean ablation take their means; of the task, not of a "
        "prompt",
        "datasets",
        (
            text("dataset", "random or mean"),
            whole("sample", "the sentence"),
            POSITION,
            TOKEN_ID,
        ),
    ),
)
