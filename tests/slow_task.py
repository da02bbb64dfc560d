"""A task on a model, the slow way: each prompt by itself under plain hooks, each answer token by token."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from circuits.slow_circuits import SlowCircuit
from circuits.slow_edges import slow_counterfactual
from slow import Seen, slow_logits, slow_read_out, slow_run, value_bias_of
from slow_metrics import slow_changes, slow_kl, slow_levels, slow_rank
from vitro.circuits import Circuit, Constant, Constants, Node
from vitro.engine import Edit, mlp_out, z
from vitro.models import Model
from vitro.tasks import Questions


@dataclass(frozen=True, eq=False)
class Slow:
    """A task on a model, the slow way; what is asked for twice is kept."""

    model: Model
    questions: Questions

    @cached_property
    def seen(self) -> list[Seen]:
        """Each prompt's clean run."""
        return [slow_run(self.model, prompt) for prompt in self.questions.tokens]

    @cached_property
    def partners(self) -> list[Seen]:
        assert self.questions.partner is not None
        return [slow_run(self.model, prompt) for prompt in self.questions.partner]

    @cached_property
    def counterfactual(self) -> Constants:
        assert self.questions.partner is not None
        return slow_counterfactual(self.model, self.questions.partner)

    @property
    def rows(self) -> range:
        return range(len(self.questions))

    @property
    def layers(self) -> range:
        return range(self.model.shape.n_layers)

    @property
    def heads(self) -> list[tuple[int, int]]:
        return list(product(self.layers, range(self.model.shape.n_heads)))

    def clean(self, row: int) -> Tensor:
        return self.seen[row].logits

    def run(self, row: int, *edits: Edit) -> Tensor:
        """Final logits of one prompt with some edits."""
        return slow_logits(self.model, [self.questions.tokens[row]], [edits])[0, 0]

    def changes(self, row: int, *edits: Edit) -> dict[str, float | None]:
        """What an ablation table says of one prompt."""
        logits = self.run(row, *edits)
        changes = slow_changes(self.questions, row, logits, self.clean(row))
        return {**changes, "kl": slow_kl(self.clean(row), logits)}

    def levels(self, row: int, logits: Tensor) -> dict[str, float | None]:
        return slow_levels(self.questions, row, logits, self.clean(row))

    def as_model(self, row: int, logits: Tensor) -> dict[str, float | None]:
        """The metrics as those of the model, beside a circuit's."""
        values = slow_levels(self.questions, row, logits)
        return {f"model_{name}": value for name, value in values.items()}

    def wrong_prob(self, row: int, logits: Tensor) -> float:
        return float(logits.double().softmax(-1)[list(self.questions.wrong[row])].sum())

    def answered(self, row: int, logits: Tensor) -> dict[str, object]:
        """What a table says of what is answered."""
        top = int(logits.argmax())
        return {
            **slow_levels(self.questions, row, logits),
            "answer_rank": slow_rank(logits, self.questions.right[row], range(len(logits))),
            "wrong_prob": self.wrong_prob(row, logits),
            "top_token": self.model.tokenizer.decode([top]),
            "top_prob": float(logits.double().softmax(-1)[top]),
        }

    def lens(self, row: int, vector: Tensor) -> dict[str, object]:
        """What the lens says of a vector."""
        logits = slow_read_out(self.model, vector)
        right, wrong = self.questions.right[row], self.questions.wrong[row]
        return {
            "answer_prob": slow_levels(self.questions, row, logits)["answer_prob"],
            "wrong_prob": self.wrong_prob(row, logits),
            "answer_rank_among_answers": slow_rank(logits, right, self.questions.among or wrong),
        }

    def z_of(self, kind: str, layer: int, head: int, row: int) -> Tensor:
        """What a head's z is set to: [position or 1, d_head]."""
        if kind == "zero":
            return value_bias_of(self.model, layer, head).float()[None]
        return self.partners[row].z[layer, :, head].float()

    def mlp_of(self, kind: str, layer: int, row: int) -> Tensor:
        """What an MLP's output is set to: [position or 1, d_model]."""
        if kind == "zero":
            return torch.zeros(1, self.model.shape.d_model)
        return self.partners[row].mlp_out[layer].float()

    def ablated(self, part: Node, kind: str, row: int) -> Edit:
        if part.head < 0:
            return Edit(mlp_out(part.layer), self.mlp_of(kind, part.layer, row))
        return Edit(z(part.layer, part.head), self.z_of(kind, part.layer, part.head, row))

    def circuits(self, circuit: Circuit) -> list[SlowCircuit]:
        """A circuit on each prompt; what is pinned to a mark of its own is pinned to IO."""
        biases = [
            torch.stack([value_bias_of(self.model, layer, head) for head in range(self.model.shape.n_heads)])
            for layer in self.layers
        ]
        zeros = torch.zeros(len(self.layers), 1, 1, self.model.shape.d_model)
        zero = Constants(zeros[0], torch.stack(biases)[:, None, None].float(), zeros)
        known: dict[Constant, Constants] = {"counterfactual": self.counterfactual, "zero": zero}
        return [
            SlowCircuit(self.model, tokens, row, circuit, self.questions.marks["IO"][row], known, with_value_bias=False)
            for row, tokens in enumerate(self.questions.tokens)
        ]
