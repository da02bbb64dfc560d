"""The figures of a search: its circuit, its steps, its ladder."""

from typing import Any

import polars as pl
import pytest

from figures import found_tables as found
from figures.found_tables import DEEP, IOI, NODES_ALONE, PLANTED, RUNGS
from vitro.figures import Figure, found_circuit, ladder_rungs, ladder_wirings, search_steps, to_spec
from vitro.figures.found_circuit import MOST_EDGES, MOST_NODES
from vitro.figures.look import WIDTH
from vitro.tables import Tables

every_search = pytest.mark.parametrize("tables", found.SEARCHES.values(), ids=found.SEARCHES)


def drawn(tables: Tables) -> dict[str, Any]:
    return to_spec(found_circuit(tables["find"], tables["find_nodes"], tables["find_edges"]))


def rows(spec: dict[str, Any], *wanted: str) -> list[dict[str, Any]]:
    """The rows of a figure that have these columns."""
    return [row for data in spec["datasets"].values() for row in data if set(wanted) <= set(row)]


def boxes(tables: Tables) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows(drawn(tables), "name", "x2")}


@every_search
def test_every_component_is_a_box_and_none_lies_on_another(tables: Tables) -> None:
    placed = boxes(tables)
    assert set(placed) == {"input", *tables["find_nodes"]["node"], "logits"}
    for name, box in placed.items():
        for other, beside in placed.items():
            apart = (
                box["x2"] < beside["x"] or beside["x2"] < box["x"] or box["y2"] < beside["y"] or beside["y2"] < box["y"]
            )
            assert name == other or apart, (name, other)


@every_search
def test_the_drawing_rises_in_the_models_order_and_fits_the_page(tables: Tables) -> None:
    placed = boxes(tables)
    order = ["input", *tables["find_nodes"].sort("layer", "head", nulls_last=True)["node"], "logits"]
    tops = [placed[name]["y"] for name in order]
    assert tops == sorted(tops, reverse=True)
    assert drawn(tables)["width"] <= WIDTH


@every_search
def test_a_component_is_above_what_it_reads(tables: Tables) -> None:
    placed = boxes(tables)
    for row in rows(drawn(tables), "readers"):
        for reader in row["readers"].split(", "):
            assert placed[reader.split(" ")[0].split("<")[0]]["y2"] < placed[row["source"]]["y"]


def test_a_box_says_what_the_component_does_to_the_answer_and_where_it_looks() -> None:
    texts = {row["text"] for row in rows(drawn(PLANTED), "style")}
    assert {"a1.h2", "raises 0.97", "m0", "raises 0.02", "layer 0", "layer 1"} <= texts
    assert any(text.startswith("attends to subject 0.") for text in texts)
    assert "lowers 0.31" in {row["text"] for row in rows(drawn(IOI), "style")}


def test_of_many_edges_the_costliest_are_drawn_and_no_component_is_cut_off() -> None:
    edges = IOI["find_edges"]
    lines = [
        (row["source"], reader.split(" ")[0].split("<")[0])
        for row in rows(drawn(IOI), "readers")
        for reader in row["readers"].split(", ")
    ]
    costly = edges.sort("cost", descending=True).head(MOST_EDGES)
    assert set(costly.select("source", "reader").iter_rows()) <= set(lines)
    sources, readers = ({line[side] for line in lines} for side in (0, 1))
    assert sources == set(edges["source"])
    assert readers == set(edges["reader"])
    subtitle = " ".join(drawn(IOI)["title"]["subtitle"])
    assert f" of {len(edges)} edges, the costliest." in subtitle


def test_the_costliest_edge_is_the_thickest_line() -> None:
    thickest = max(rows(drawn(PLANTED), "readers"), key=lambda row: row["width"])
    thinnest = min(rows(drawn(PLANTED), "readers"), key=lambda row: row["width"])
    assert "1.0" in thickest["readers"]
    assert "<q>" in thinnest["readers"]


def test_the_component_that_the_circuit_can_spare_least_has_the_thickest_rim() -> None:
    rims = {name: box["width"] for name, box in boxes(DEEP).items()}
    costliest = DEEP["find_nodes"].sort("cost", descending=True)["node"][0]
    assert rims[costliest] == max(rims.values()) > rims["input"] == min(rims.values())


def test_costs_that_were_not_measured_make_no_rim_and_no_line() -> None:
    nan = pl.lit(float("nan"), pl.Float32)
    stopped = {**DEEP, **{name: DEEP[name].with_columns(cost=nan) for name in ("find_nodes", "find_edges")}}
    assert not rows(drawn(stopped), "readers")
    assert len({box["width"] for box in boxes(stopped).values()}) == 1
    assert "nan" not in str(rows(drawn(stopped), "hover"))


def test_edges_that_were_not_searched_are_not_drawn_and_the_figure_says_so() -> None:
    assert not rows(drawn(NODES_ALONE), "readers")
    assert "they were not searched" in " ".join(drawn(NODES_ALONE)["title"]["subtitle"])


def test_of_a_circuit_too_large_to_read_the_components_that_it_can_spare_least_are_drawn() -> None:
    names = [f"a{layer}.h{number}" for layer in range(12) for number in range(6)]
    large = found.tables([(name, 0.01, None) for name in names], found.drawn_at_random(names, 200))
    costliest = large["find_nodes"].sort("cost", descending=True)["node"].head(MOST_NODES)
    assert set(boxes(large)) == {"input", *costliest, "logits"}
    assert "Drawn: the 60 components" in drawn(large)["title"]["subtitle"][0]
    assert "Drawn: the" not in str(drawn(DEEP)["title"])


def test_a_search_that_found_nothing_can_be_drawn() -> None:
    nothing = {name: table.clear() for name, table in DEEP.items()} | {"find": DEEP["find"].with_columns(nodes=0)}
    assert set(boxes(nothing)) == {"input", "logits"}


def test_the_steps_count_what_was_dropped_and_mark_what_was_taken_back() -> None:
    spec = to_spec(search_steps(DEEP["find"], DEEP["search"]))
    counts = [len(DEEP["search"].filter(level=level, action="dropped")) for level in ("node", "edge")]
    assert f"dropped {counts[0]} nodes and {counts[1]} edges" in spec["title"]["text"]
    assert len(rows(spec, "step", "components", "cost", "left", "right", "measured")) == len(DEEP["search"])
    assert "Triangles" in spec["title"]["subtitle"][0]
    assert "Triangles" not in str(to_spec(search_steps(DEEP["find"], DEEP["search"].filter(action="dropped")))["title"])


def test_components_that_were_dropped_together_are_one_step_and_the_first_of_them_are_named() -> None:
    together = DEEP["search"].head(30).with_columns(step=pl.lit(0, pl.Int64))
    (step,) = rows(to_spec(search_steps(DEEP["find"], together)), "step")
    assert step["components"].startswith(together["component"][0] + ", ")
    assert step["components"].endswith(" and 18 more")
    assert step["cost"] == pytest.approx(max(together["cost"]), rel=1e-3)


def rungs(tables: Tables) -> dict[str, Any]:
    return to_spec(ladder_rungs(tables["ladder"], tables["ladder_answers"], found.questions(tables)))


def test_the_ladder_has_a_tile_for_each_rung_and_prompt_and_says_which_rungs_failed() -> None:
    tiles = rows(rungs(DEEP), "right", "prompt")
    assert len(tiles) == 7 * len(RUNGS)
    assert [sum(row["right"] for row in tiles if row["name"].startswith(str(rung))) for rung in range(len(RUNGS))] == [
        right for _, right, _ in RUNGS
    ]
    said = [row["said"] for row in rows(rungs(DEEP), "said")]
    assert said[0] == "7 of 7 right, 22 nodes, 60 edges"
    assert [text.endswith("failed") for text in said] == [not kept for *_, kept in RUNGS]


def wirings(tables: Tables) -> Figure | None:
    return ladder_wirings(tables["ladder"], *found.wirings(tables))


def test_the_wirings_that_are_small_enough_are_drawn_and_the_last_whatever_its_size() -> None:
    figure = wirings(DEEP)
    assert figure is not None
    titles = [panel["title"]["text"][-1] for line in to_spec(figure)["vconcat"] for panel in line["hconcat"]]
    assert titles == ["7 right", "6 right", "6 right"]
    assert "2 larger ones are not drawn" in str(to_spec(figure)["title"])
    first = DEEP["ladder"].head(1)
    alone = ladder_wirings(first, *found.wirings(DEEP))
    assert alone is not None
    assert "larger" not in str(to_spec(alone)["title"])


def test_of_rungs_that_look_the_same_the_last_is_drawn() -> None:
    boxes, arrows = (frame.filter(rung=0).drop("rung") for frame in found.wirings(PLANTED))
    twice = [
        pl.concat([frame.select(pl.lit(rung).alias("rung"), pl.all()) for rung in (0, 1)]) for frame in (boxes, arrows)
    ]
    figure = ladder_wirings(PLANTED["ladder"].head(2), *twice)
    assert figure is not None
    (line,) = to_spec(figure)["vconcat"]
    (panel,) = line["hconcat"]
    assert " ".join(panel["title"]["text"]).startswith("1  at its counterfactual")


def test_where_no_rung_holds_there_are_no_wirings() -> None:
    assert ladder_wirings(DEEP["ladder"].with_columns(kept=pl.lit(False)), *found.wirings(DEEP)) is None


def test_a_rung_that_is_too_large_to_have_boxes_is_not_drawn() -> None:
    of_first, arrows = (frame.filter(pl.col("rung") > 0) for frame in found.wirings(DEEP))
    assert ladder_wirings(DEEP["ladder"].head(1), of_first, arrows) is None
