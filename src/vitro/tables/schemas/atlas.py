"""The tables of an atlas: many models, many tasks, a study each (docs/atlas.md)."""

from collections.abc import Mapping

from vitro.tables.schema import Column, Schema, by_name, text, truth, value, whole

RULES: Mapping[str, str] = {
    "ablation": "that costs most of the study's metric where it is ablated alone, by the study's ablation",
    "selective": "whose own output puts the answer above all others in every prompt, or in all but one, most surely",
    "copying": "that says the subject and not its neighbours, most surely",
    "direct": "that writes the largest share of the logit difference itself",
    "circuit": "of the circuit that was found that costs most when it is left out",
    "successor": "with the highest successor score",
}
"""The rules by which a head is the strongest of a model, and what each says: "the head ..."."""


def _heads() -> tuple[Column, ...]:
    columns = []
    for rule, said in RULES.items():
        columns += [
            text(f"{rule}_head", f"the head {said}", nullable=True),
            value(f"{rule}_depth", f"how deep `{rule}_head` lies: its layer over the number of layers", nullable=True),
        ]
    return tuple(columns)


MODEL = text("model", "the model, as it was named")
TASK = text("task", "the task, as it was named")
SCHEMAS: Mapping[str, Schema] = by_name(
    (
        Schema(
            "atlas",
            "each cell: a task on a model",
            "atlas",
            (
                MODEL,
                TASK,
                text("state", "done; failed; or missing, where a run was stopped before it"),
                text("reason", "why it failed, in one line", nullable=True),
                text("folder", "its study's folder, beside the table"),
                text("series", "of which training run the model is a checkpoint", nullable=True),
                whole("step", "after how many steps of it", nullable=True),
                text("family", "the model's family", nullable=True),
                whole("parameters", "how many numbers it has", nullable=True),
                whole("layers", "how many layers", nullable=True),
                whole("heads", "how many heads in each", nullable=True),
                whole("prompts", "the task's prompts", nullable=True),
                value("accuracy", "the share of prompts whose most probable token is right", nullable=True),
                value("right_first", "the share of prompts with right above wrong", nullable=True),
                value("answer_prob", "the mean probability of the right answer", "probability", nullable=True),
                truth("does_task", "whether it is right in more prompts than chance would give", nullable=True),
                text("metric", "the metric that rankings go by", nullable=True),
                value("metric_mean", "its mean over the prompts", "the metric's", nullable=True),
                text("ablation", "the ablation that rankings go by", nullable=True),
                value("largest_loss", "what `ablation_head` costs, on average", "the metric's", nullable=True),
                value("top_share", "its share of what all heads cost that cost something", nullable=True),
                value(
                    "effective_heads",
                    "over how many heads the cost is spread: the square of its sum over the sum of its squares",
                    nullable=True,
                ),
                *_heads(),
                value("successor_score", "the score of `successor_head`, the mean over sets of words", nullable=True),
                text("found", "of the circuit: found, not found, or not settled in the time", nullable=True),
                whole("circuit_nodes", "heads and MLPs in the circuit", nullable=True),
                whole("circuit_heads", "heads in it", nullable=True),
                whole("circuit_edges", "edges in it", nullable=True),
                value("faithfulness", "of the circuit, on the prompts that were searched on", nullable=True),
                value(
                    "nodes_depth",
                    "the mean depth of its heads and MLPs: their layers over the number of layers",
                    nullable=True,
                ),
            ),
            "atlas",
        ),
        Schema(
            "overlaps",
            "each model and pair of tasks that are done on it",
            "atlas",
            (
                MODEL,
                TASK,
                text("other", "the other task"),
                value(
                    "effects",
                    "the correlation of what all heads cost in the one and in the other; null where they do not differ",
                    nullable=True,
                ),
                value(
                    "strongest", "shared heads among the ten that cost most in either, over all of these", nullable=True
                ),
                value("circuits", "shared nodes of the two circuits, over all nodes of either", nullable=True),
            ),
            "atlas",
        ),
        Schema(
            "seconds",
            "each measurement of each cell that is done; apart from the others, which are the same in every run",
            "atlas",
            (MODEL, TASK, text("measurement", "the measurement"), value("seconds", "what it took", "seconds")),
            "atlas",
        ),
    )
)
