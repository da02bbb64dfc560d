import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote

import polars as pl
import pytest

from figures import atlas_tables as made
from figures.spoken import gist
from vitro.figures import (
    Figure,
    atlas_answers,
    atlas_depths,
    atlas_overlaps,
    atlas_seconds,
    atlas_sizes,
    atlas_training,
    to_json,
    to_spec,
    to_svg,
)
from vitro.figures.atlas_cells import FILTERS, MARKS, cells_of, families_of, link, short_names, tasks_of
from vitro.tables import Tables

DRAW: dict[str, Callable[[Tables], Figure | None]] = {
    "answers": lambda tables: atlas_answers(tables["atlas"]),
    "sizes": lambda tables: atlas_sizes(tables["atlas"]),
    "training": lambda tables: atlas_training(tables["atlas"]),
    "depths": lambda tables: atlas_depths(tables["atlas"]),
    "overlaps": lambda tables: atlas_overlaps(tables["atlas"], tables["overlaps"]),
    "seconds": lambda tables: atlas_seconds(tables["atlas"], tables["seconds"]),
}
ATLASES = {
    "small": made.SMALL_ATLAS,
    "medium": made.MEDIUM_ATLAS,
    "one cell": made.ONE_CELL,
    "hostile": made.hostile(),
    "all failed": made.ALL_FAILED,
    "all null": made.ALL_NULL,
}
DRAWN = [
    *((atlas, figure) for atlas in ("medium", "hostile") for figure in DRAW),
    *(("small", figure) for figure in DRAW if figure != "training"),
    *(("one cell", figure) for figure in ("answers", "depths", "seconds")),
]
every_figure = pytest.mark.parametrize(("atlas", "figure"), DRAWN)


def chart(atlas: str, figure: str) -> Figure:
    drawn = DRAW[figure](ATLASES[atlas])
    assert drawn is not None
    return drawn


@cache
def svg(atlas: str, figure: str) -> str:
    return to_svg(chart(atlas, figure))


def data(spec: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = max(spec["datasets"].values(), key=len)
    return rows


def test_a_figure_is_there_exactly_where_it_has_something_to_show() -> None:
    shown = {
        (atlas, figure) for atlas, tables in ATLASES.items() for figure in DRAW if DRAW[figure](tables) is not None
    }
    assert shown == set(DRAWN)


@every_figure
def test_equal_tables_give_equal_bytes_that_follow_the_schema_of_vega_lite(atlas: str, figure: str) -> None:
    assert to_json(chart(atlas, figure)) == to_json(chart(atlas, figure))
    assert chart(atlas, figure).to_dict(validate=True)  # type: ignore[union-attr]
    assert len(to_json(chart(atlas, figure))) < 100_000


@every_figure
def test_a_drawing_is_well_formed_and_leads_to_studies_alone(atlas: str, figure: str) -> None:
    drawing = ET.fromstring(svg(atlas, figure))
    links = {value for part in drawing.iter() for name, value in part.attrib.items() if name.endswith("href")}
    folders = {link(folder) for folder in ATLASES[atlas]["atlas"].filter(state="done")["folder"]}
    assert {target for target in links if not target.startswith("#")} <= folders
    assert bool(links & folders) == (figure != "overlaps")


@every_figure
def test_a_figure_has_a_text_of_its_title_its_subtitle_and_what_its_data_say(atlas: str, figure: str) -> None:
    said = gist(to_spec(chart(atlas, figure)))
    assert len(said.split()) >= 3
    assert not {"nothing", "None", "nan", "null"} & set(re.findall(r"\w+", said))


@every_figure
def test_every_figure_can_be_filtered_by_what_the_page_filters_by(atlas: str, figure: str) -> None:
    spec = to_spec(chart(atlas, figure))
    assert {param["name"] for param in spec["params"]} == {f"only_{name}" for name in FILTERS}
    whole = svg(atlas, figure)
    for name, value in (("model", "no such model"), ("task", "no such task"), ("family", "x"), ("state", "x")):
        params = [{**param, "value": value if param["name"] == f"only_{name}" else ""} for param in spec["params"]]
        assert len(to_svg({**spec, "params": params})) < len(whole)


def test_a_filter_leaves_the_cells_that_it_names() -> None:
    spec = to_spec(chart("medium", "answers"))
    params = [{"name": f"only_{name}", "value": ""} for name in FILTERS]

    def labels(**only: str) -> set[str]:
        chosen = [{**param, "value": only.get(param["name"].removeprefix("only_"), "")} for param in params]
        texts = {part.text or "" for part in ET.fromstring(to_svg({**spec, "params": chosen})).iter() if part.text}
        return texts & {"gpt2", "gpt2-large", "Qwen/Qwen2.5-0.5B", "days", "ioi"}

    assert labels() == {"gpt2", "gpt2-large", "Qwen/Qwen2.5-0.5B", "days", "ioi"}
    assert labels(task="days", family="GPT2") == {"gpt2", "gpt2-large", "days"}
    assert labels(model="large") == {"gpt2-large", "days", "ioi"}
    assert labels(model="qwen", state="done") == {"Qwen/Qwen2.5-0.5B", "days", "ioi"}


def test_a_pair_of_tasks_is_left_by_a_filter_for_either() -> None:
    spec = to_spec(chart("small", "overlaps"))
    params = [{**param, "value": "ioi" if param["name"] == "only_task" else ""} for param in spec["params"]]
    texts = {part.text for part in ET.fromstring(to_svg({**spec, "params": params})).iter()}
    assert {"days – ioi", "months – ioi"} <= texts
    assert "days – months" not in texts


def test_models_stand_by_family_size_and_step_and_what_failed_with_its_family() -> None:
    names = cells_of(made.MEDIUM_ATLAS["atlas"])["model"].unique(maintain_order=True).to_list()
    assert names[:3] == ["gpt2", "gpt2-medium", "gpt2-large"]
    steps = [int(name.rpartition("@step")[2]) for name in names if "@step" in name]
    assert steps == sorted(steps)
    (failed,) = cells_of(made.SMALL_ATLAS["atlas"]).filter(state="failed").to_dicts()
    assert (failed["family"], failed["size"], failed["link"]) == ("Llama", "135M", None)


def test_a_link_is_relative_and_quoted_whatever_the_folder_is_called() -> None:
    assert link('cells/a"b/<c>') == "cells/a%22b/%3Cc%3E/report.html"
    assert link("cells/100%/é?#x") == "cells/100%25/%C3%A9%3F%23x/report.html"
    assert link("javascript:alert(1)").startswith("javascript%3Aalert")
    assert unquote(link("cells/a\udcff")) != ""


def test_names_of_models_are_short_and_no_two_alike() -> None:
    paths = [f"/data/{run}/a very long path to/the checkpoints/step1000" for run in "ab"]
    names = short_names(pl.Series(["gpt2", *paths, *paths]))
    assert len(set(names.values())) == 3
    assert all(name.endswith(("step1000", "step1000 (2)", "gpt2")) for name in names.values())


def test_of_more_families_and_tasks_than_there_are_looks_the_rarer_share_one() -> None:
    atlas = made.large(models=20, tasks=9)["atlas"]
    assert [*families_of(atlas).look_of][-1] == "other families"
    assert len(families_of(atlas).look_of) == 8
    assert [*tasks_of(atlas).look_of] == [*(f"task-{number}" for number in range(7)), "other tasks"]


def test_a_legend_names_what_is_drawn_in_the_looks_of_the_other_figures() -> None:
    atlas = made.SMALL_ATLAS["atlas"]
    families, tasks = families_of(atlas), tasks_of(atlas)
    assert tasks.scale(atlas.filter(task="months")["task"]).to_dict() == {"domain": ["months"], "range": ["square"]}
    assert families.scale(pl.Series(["Llama"])).to_dict()["range"] == [families.look_of["Llama"]]
    drawn = to_spec(chart("medium", "sizes"))["concat"][0]["layer"][0]["encoding"]
    assert drawn["color"]["scale"]["domain"] == ["GPT2", "GPTNeoX", "Llama", "Qwen2"], "no family is unknown"


def test_steps_from_0_to_143000_are_on_one_axis_and_the_figure_says_how() -> None:
    spec = to_spec(chart("medium", "training"))
    x = spec["concat"][0]["layer"][0]["encoding"]["x"]
    assert x["scale"]["type"] == "symlog"
    assert x["scale"]["domain"] == [0, 143000] == [x["axis"]["values"][0], x["axis"]["values"][-1]]
    assert "logarithmic beyond" in " ".join(spec["title"]["subtitle"])


def test_sizes_are_those_of_last_checkpoints() -> None:
    models = {row["model"] for row in data(to_spec(chart("medium", "sizes")))}
    assert {model for model in models if "@step" in model} == {"EleutherAI/pythia-70m@step143000"}


def test_of_ten_thousand_cells_as_many_are_drawn_as_a_page_can_show_and_the_figure_says_so() -> None:
    tables = made.large()
    assert tables["atlas"].height == 10_000
    for name, draw in DRAW.items():
        figure = draw(tables)
        if name == "training":
            assert figure is None
            continue
        assert figure is not None
        spec = to_spec(figure)
        assert re.search(r"\d+ of 500 models are drawn, evenly spread", " ".join(spec["title"]["subtitle"]))
        assert len(data(spec)) <= MARKS
        assert {row["task"] for row in data(spec)} >= {"task-0", "task-10", "task-13"}
        assert len(json.dumps(spec)) < 1_000_000


@pytest.mark.parametrize(("models", "tasks"), [(2, 2500), (2500, 2)])
def test_an_atlas_of_many_tasks_or_many_models_is_drawn_in_part(models: int, tasks: int) -> None:
    atlas = made.large(models, tasks)
    for name in ("answers", "sizes", "depths", "seconds"):
        figure = DRAW[name](atlas)
        assert figure is not None
        what = "models" if models > tasks else "tasks"
        assert re.search(
            rf"\d+ of 2,500 {what} are drawn, evenly spread", " ".join(to_spec(figure)["title"]["subtitle"])
        )
        assert 100 <= len(data(to_spec(figure))) <= MARKS
