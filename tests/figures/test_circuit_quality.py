from itertools import combinations
from typing import Any

import polars as pl
import pytest

from vitro.figures import completeness_figure, minimality_figure, random_circuits_figure, to_spec, to_svg


def random_circuits(circuit: float, random: list[float]) -> pl.DataFrame:
    means = [circuit, *random]
    return pl.DataFrame({"number": range(len(means)), "prompt": [0] * len(means), "among_answers": means})


def layers_of(figure: Any) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    spec = to_spec(figure)
    return [(layer, spec["datasets"][layer["data"]["name"]]) for layer in spec["layer"]]


@pytest.mark.parametrize(
    ("circuit", "model", "random"), [(0.3, 0.4, [0.01, 0.02, 0.1]), (2e-9, 9e-9, [1e-9, 3e-9]), (0.5, 0.5, [0.5, 0.5])]
)
def test_the_axis_of_random_circuits_ends_where_they_the_circuit_and_the_model_do(
    circuit: float, model: float, random: list[float]
) -> None:
    (bars, bins), *lines = layers_of(random_circuits_figure(random_circuits(circuit, random), "a -> b", "drawn", model))
    low, high = bars["encoding"]["x"]["scale"]["domain"]
    every = [circuit, model, *random]
    room = max((high - low) / 10, 0.05 * max(every))
    assert min(every) - room <= low < min(every)
    assert max(every) < high <= max(every) + room or max(every) == min(every)
    assert sum(row["circuits"] for row in bins) == len(random)
    drawn = {row["name"]: row["start"] for _, rows in lines for row in rows}
    assert drawn == {"the circuit": pytest.approx(circuit), "the model": pytest.approx(model)}


def test_parts_that_are_alike_share_a_label_and_no_label_lies_over_another() -> None:
    names = [f"a23.h{head}" for head in range(20)]
    table = pl.DataFrame(
        {
            "knocked_out": names,
            "size": [1] * 20,
            "among_answers": [0.02 * (number // 4) for number in range(20)],
            "model_among_answers": [0.01 * (number % 4) for number in range(20)],
        }
    )
    *_, (_, labels) = layers_of(completeness_figure(table))
    for one, other in combinations(labels, 2):
        apart_up = abs(one["circuit"] - other["circuit"]) / 0.08 * 320
        left, right = sorted((one, other), key=lambda label: label["model"])
        apart_across = (right["model"] - left["model"]) / 0.08 * 420
        assert apart_up >= 12 or apart_across >= 6 * len(left["name"])


@pytest.mark.parametrize("components", [1, 6, 12, 40, 200])
def test_components_of_any_number_fit_a_page(components: int) -> None:
    names = [None, *(f"a23.h{head}" for head in range(components))]
    table = pl.DataFrame({"left_out": names, "prompt": 0, "among_answers": 0.5})
    assert float(to_svg(minimality_figure(table)).split('width="')[1].split('"')[0]) <= 1000
