"""Options are checked at the door; tables are the same for the same seed."""

import polars as pl
import pytest

from vitro.experiments import EXPERIMENTS, OptionError, Options
from vitro.models import Model
from vitro.tasks import days


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"samples": 0}, "samples must be 1 or more, not 0"),
        ({"value_bias": "maybe"}, "excluded or included, not 'maybe'"),
        ({"ig_endpoints": "both"}, "ig_endpoints must be mib or paper, not 'both'"),
        (
            {"edge_ablation": "none"},
            "edge_ablation must be zero or random or mean or resample or counterfactual, not 'none'",
        ),
        ({"heads": ("a9.h1",)}, r"heads must be one or more as \(9, 1\), each once, not \('a9.h1',\)"),
        ({"heads": 5}, "heads must be one or more as"),
        ({"alphas": 5}, "alphas must be one or more finite numbers, not 5"),
        ({"metric": "kl"}, "answer_logit or among_answers or right_first, not 'kl'"),
        ({"memory": 0}, "positive number of bytes"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Options(**options)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_tables_and_another_seed_others(planted_model: Model) -> None:
    once, again, other = (
        EXPERIMENTS["head_ablation"].measure(planted_model, days(), Options(samples=8, seed=seed)).table
        for seed in (3, 3, 4)
    )
    assert once.equals(again)
    assert not once.filter(method="random").equals(other.filter(method="random"))
    assert once.filter(method="zero").equals(other.filter(method="zero"))


@pytest.mark.parametrize("name", ["prompts", "datasets"])
def test_what_has_no_figure_shows_itself_in_a_notebook_too(planted_model: Model, name: str) -> None:
    shown = EXPERIMENTS[name].measure(planted_model, days(), Options(samples=8))
    html = shown._repr_html_()
    assert EXPERIMENTS[name].title in html
    assert html.count("<svg") == len(shown.figures)
    assert EXPERIMENTS[name].title in repr(shown)
    assert isinstance(shown.numbers, pl.DataFrame)
