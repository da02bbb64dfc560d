"""What edges are scored by and circuits are judged by: a metric of a model's answers, and an ablation."""

from dataclasses import dataclass
from functools import cached_property

from vitro.circuits import Constants, Graph, InModel
from vitro.metrics import Asked, Metric
from vitro.models import Model
from vitro.options import IgEndpoints
from vitro.tasks import Questions


@dataclass(frozen=True, eq=False)
class Case:
    """A model and questions, the metric of its answers, and what an absent edge carries.

    metric: one with a gradient, where scores are taken from gradients. constants: what an ablated source writes, for
    these prompts. endpoints: where EAP-IG takes its gradients (docs/method.md, section 9.4). seed: of random scores.
    memory: bytes for everything but the model.

    >>> questions = task.questions(model.tokenizer, None)
    >>> constants = vitro.circuits.resampled(model, questions.tokens, seed=0)
    >>> case = Case(model, questions, vitro.metrics.METRICS["logit_diff"], constants)
    >>> len(case.graph)
    262
    """

    model: Model
    questions: Questions
    metric: Metric
    constants: Constants
    endpoints: IgEndpoints = "mib"
    seed: int = 0
    memory: int | None = None

    @cached_property
    def graph(self) -> Graph:
        """The model's graph, in whose order scores are."""
        return Graph.of(self.model)

    @cached_property
    def asked(self) -> Asked:
        """What counts as right and wrong, on the model's device."""
        return Asked.of(self.questions, self.model.device)

    @cached_property
    def within(self) -> InModel:
        """The prompts, ready for circuits within the model."""
        return InModel.of(self.model, self.questions.tokens, self.constants, self.memory)
