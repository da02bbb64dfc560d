"""MIB's curve in pictures: each ranking in its panel with its own area, and nothing cut off in silence."""

from typing import Any

import polars as pl

from vitro.figures import curve_choices, edge_curves, to_spec, to_svg
from vitro.figures.edge_curves import score_colors

SIZES = [0.001, 0.01, 0.1, 1.0]
WAYS = [(ranking, selection) for ranking in ("signed", "absolute") for selection in ("top", "greedy")]
CURVES = [*(("eap-ig", *way) for way in WAYS), *(("x.json", *way) for way in WAYS), ("circuits", None, None)]


def points(highest: float = 1.2) -> pl.DataFrame:
    rows = [
        (*curve, size, 10, 8, f)
        for curve in CURVES
        for size, f in zip(SIZES, (0.0, 0.5, highest if curve[0] == "eap-ig" else 1.0, 1.0), strict=True)
    ]
    return pl.DataFrame(rows, schema=["by", "ranking", "selection", "size", "n", "edges", "f"], orient="row")


def areas() -> pl.DataFrame:
    rows = [
        (*curve, "logit_diff", "mean", 0.5 + number / 100, 0.1 + number / 100) for number, curve in enumerate(CURVES)
    ]
    return pl.DataFrame(rows, schema=["by", "ranking", "selection", "metric", "method", "cpr", "cmd"], orient="row")


def legend(panel: dict[str, Any]) -> list[str]:
    names: list[str] = panel["layer"][1]["encoding"]["color"]["scale"]["domain"]
    return names


def test_each_ranking_has_a_panel_with_the_area_that_mib_takes_from_it() -> None:
    signed, absolute = to_spec(edge_curves(points(), areas()))["hconcat"]
    assert legend(signed) == [
        "eap-ig: CPR 0.500, greedy 0.510",
        "x.json: CPR 0.540, greedy 0.550",
        "circuits: CPR 0.580",
    ]
    assert legend(absolute)[0] == "eap-ig: CMD 0.120, greedy 0.130"
    assert legend(absolute)[2] == "circuits: CMD 0.180"


def test_given_circuits_are_in_both_panels_and_rankings_in_their_own() -> None:
    spec = to_spec(edge_curves(points(), areas()))
    for panel, ranking in zip(spec["hconcat"], ("signed", "absolute"), strict=True):
        rows = spec["datasets"][panel["layer"][1]["data"]["name"]] if "name" in panel["layer"][1]["data"] else []
        rows = rows or panel["layer"][1]["data"]["values"]
        assert {row.get("ranking") for row in rows} == {ranking, None}


def test_circuits_beyond_the_axis_are_told_of() -> None:
    within, beyond = (str(to_spec(edge_curves(points(highest), areas()))["title"]) for highest in (1.2, 40.0))
    assert "beyond" not in within
    assert "4 circuits lie beyond the axis: f goes from 0 to 40." in beyond


def test_a_score_has_one_colour_in_every_picture_and_no_other_has_it() -> None:
    alone, together = score_colors(["relp"]), score_colors(["exact", "relp", "a.json", "b.json", "random"])
    assert alone == [together[1]]
    assert len(set(together)) == 5


def test_choices_are_drawn_where_some_have_no_areas() -> None:
    rows = [
        (method, metric, method == "mean" and metric == "kl", by, ranking, area, area, by == "eap")
        for method, area in (("zero", None), ("mean", 0.5))
        for metric in ("logit_diff", "kl")
        for by in ("eap", "random")
        for ranking in ("signed", "absolute")
    ]
    names = ["method", "metric", "own", "by", "ranking", "cpr", "cmd", "leads"]
    figure = curve_choices(pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None))
    panels = [panel for row in to_spec(figure)["vconcat"] for panel in row["hconcat"]]
    assert [panel["title"]["text"] for panel in panels] == ["logit_diff", "kl"] * 2
    assert to_svg(figure).startswith("<svg")
