"""The post's claims are checked on GPT-2 small's shape, on nothing else, and the verdict is the exit code."""

import json
import re
import sys
from dataclasses import asdict
from functools import partialmethod
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from claims.posts_tables import tables
from planted import planted
from task_tokenizers import whole_words
from vitro.claims import CLAIMS, by_chance
from vitro.cli import main
from vitro.errors import VitroError
from vitro.experiments import Experiment, Options, Setup
from vitro.models.families.gpt2 import GPT2
from vitro.reproduction import Reproduction, compare_conventions, page, posts_own, ranked, reproduce
from vitro.tasks import days

WORDS = " ".join(["house tree dog her sea red tomorrow", *days().words])


@pytest.fixture(scope="module")
def random_gpt2() -> GPT2:
    """GPT-2 small's layers and heads, random and with a vocabulary of the day task alone."""
    tokenizer = whole_words(days(), known="\n".join([*days().prompts, f" {WORDS}"]))
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=16, n_inner=64, bos_token_id=0, eos_token_id=0)
    return GPT2.of(GPT2LMHeadModel(config).eval().requires_grad_(False), tokenizer)


@pytest.fixture(scope="module")
def checked(random_gpt2: GPT2) -> Reproduction:
    return reproduce(random_gpt2, "a random one", Options(samples=2))


def test_claims_that_a_random_model_cannot_meet_differ(checked: Reproduction) -> None:
    verdicts = dict(checked.table.select("id", "verdict").iter_rows())
    assert verdicts[0] == verdicts[15] == verdicts[18] == "differs"
    assert checked.differing > 10
    assert set(verdicts) == {*range(10), *range(14, 40)}


def test_every_claim_says_how_many_random_models_satisfy_it(checked: Reproduction) -> None:
    satisfied, models = by_chance()
    assert models == 20
    assert set(satisfied) == {claim.id for claim in CLAIMS}
    assert all(0 <= count <= models for count in satisfied.values())
    by_claim = dict(checked.table.select("id", "by_chance").iter_rows())
    assert by_claim == {claim: f"{count} of 20" for claim, count in satisfied.items()}
    # A sparse model is any model whose heads do little; a head copies by 0.8075 only where it was taught to.
    assert (by_claim[6], by_claim[16]) == ("20 of 20", "0 of 20")
    assert "hold for one or more of 20 models with random weights too" in checked.summary()
    html = page(checked, "vitro reproduce")
    assert "by chance" in html
    assert "20 of 20" in html


def test_the_random_models_that_are_stored_were_run_as_reproduce_runs() -> None:
    record = json.loads(files("vitro.claims").joinpath("null.json").read_text("utf-8"))
    # Options that came later are none of the claims'.
    today = json.loads(json.dumps(asdict(posts_own(Options()))))
    assert record["options"] == {name: today[name] for name in record["options"]}
    assert record["seeds"] == list(range(20))
    assert all(set(seeds) <= set(record["seeds"]) for seeds in record["holds"].values())


def test_a_task_that_the_tokenizer_cannot_ask_is_not_applicable(checked: Reproduction) -> None:
    months = checked.table.filter(id=36).row(0, named=True)
    assert months["verdict"] == "not applicable"
    assert "month" in months["here"].lower()


def test_every_value_is_that_of_the_tables(checked: Reproduction) -> None:
    lens = checked.tables["days"]["head_lens"].filter(layer=10, head=3)
    value = checked.table.filter(id=15)["here"].item()
    assert float(value) == pytest.approx(float(lens["wrong_prob"].to_numpy().mean()), rel=1e-3)


def test_the_page_goes_through_the_post_with_its_figures(checked: Reproduction) -> None:
    html = page(checked, "vitro reproduce")
    places = [html.index(f">{section}") for section in checked.table["section"].unique(maintain_order=True)]
    assert places == sorted(places)
    assert html.count("<figure") >= 10
    assert "0.5869" in html


def test_conventions_are_all_tried(random_gpt2: GPT2) -> None:
    table = compare_conventions(random_gpt2, Options(samples=2))
    conventions = table.select("value_bias", "unembed_direction", "steer_positions")
    assert len(conventions.unique()) == 8
    assert table["distance"].is_not_nan().all()
    # What is added, and where, changes what heads look at.
    assert table["distance"].n_unique() >= 4


def test_the_convention_under_which_most_claims_hold_comes_first() -> None:
    post = tables("days")
    half = {**post, "steering_attention": post["steering_attention"].with_columns(pl.lit(0.9).alias("weight"))}
    none = {**half, "head_lens": half["head_lens"].with_columns(pl.lit(0.2).alias("wrong_prob"))}
    ranking = ranked(
        {
            ("excluded", "folded", "final"): none,
            ("included", "raw", "all"): post,
            ("included", "raw", "final"): half,
        }
    )
    assert ranking["steer_positions"].to_list() == ["all", "final", "final"]
    assert ranking["reproduced"].to_list() == [7, 5, 3]
    assert ranking["holding"][1] == "15, 16, 17, 18, 19"
    assert ranking["distance"][0] == pytest.approx(0, abs=1e-6)


def test_among_equals_the_closest_comes_first_and_then_the_posts_own() -> None:
    post = tables("days")
    near = {**post, "attention": post["attention"].with_columns(pl.col("weight") + 0.001)}
    ranking = ranked(
        {("excluded", "raw", "all"): near, ("excluded", "folded", "final"): post, ("included", "raw", "all"): post}
    )
    assert ranking["reproduced"].n_unique() == 1
    assert ranking["unembed_direction"].to_list() == ["folded", "raw", "raw"]


def test_other_models_are_told_that_the_claims_are_about_gpt2_small(tmp_path: Path) -> None:
    with pytest.raises(VitroError, match=r"about GPT-2 small .* 3 layers of 4 heads, 64 wide"):
        reproduce(planted(tmp_path))


def test_the_table_is_fit_for_json(checked: Reproduction) -> None:
    assert json.loads(json.dumps(checked.table.to_dicts()))[0]["id"] == 0
    assert isinstance(checked.table, pl.DataFrame)


def test_the_command_says_in_its_exit_code_whether_all_hold(
    random_gpt2: GPT2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "gpt2", tmp_path / "claims.html"
    random_gpt2.hf.save_pretrained(folder)
    random_gpt2.tokenizer.save_pretrained(folder)
    command = ["vitro", "reproduce", "--model", str(folder), "--samples", "2", "--out", str(out), "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["differ"] == sum(claim["verdict"] == "differs" for claim in printed["claims"]) > 0
    assert printed["claims"][6]["by_chance"] == "20 of 20"
    page = re.sub("<[^>]+>", "", out.read_text())
    assert "Attention patterns" in page
    assert f"vitro reproduce --model {folder} --out {out} --samples 2" in page


def test_stopped_half_way_the_command_goes_on_where_it_was(
    random_gpt2: GPT2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "gpt2", tmp_path / "claims[1].html"
    random_gpt2.hf.save_pretrained(folder)
    random_gpt2.tokenizer.save_pretrained(folder)
    monkeypatch.setattr("vitro.reproduction.NEEDS", {"days": (("prompts", "clean", "head_lens"), ())})
    monkeypatch.setattr("vitro.reproduction.CLAIMS", [claim for claim in CLAIMS if claim.id in (0, 15)])
    monkeypatch.setattr("vitro.reproduction.FIGURES", {})
    asked: list[str] = []

    def counted(setup: Setup, experiment: Experiment, stop: str = "") -> Any:
        asked.append(experiment.name)
        if experiment.name == stop:
            raise KeyboardInterrupt
        return experiment.run(setup)

    def run(*more: str) -> tuple[int, str, str]:
        command = ["vitro", "reproduce", "--model", str(folder), "--samples", "2", "--json", *more]
        monkeypatch.setattr(sys, "argv", command)
        asked.clear()
        # A progress bar of what went before is none of the command's.
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(str(end.value.code)), captured.out, captured.err

    monkeypatch.setattr(Setup, "tables", partialmethod(counted, stop="head_lens"))
    assert run("--out", str(out))[::2] == (
        130,
        "vitro: stopped; what is finished is kept, and the same command goes on from there\n",
    )
    assert not out.exists()
    # Another seed is another run, and finds nothing of this one; without a page nothing is kept.
    assert run("--out", str(out), "--seed", "1")[0] == 130
    assert asked == ["prompts", "clean", "head_lens"]
    assert run()[::2] == (130, "vitro: stopped\n")
    assert run("--out", str(out))[0] == 130
    monkeypatch.setattr(Setup, "tables", partialmethod(counted))
    code, output, _ = run("--out", str(out))
    assert asked == ["head_lens"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claims[1].html", "gpt2"]
    once = run()
    assert (code, json.loads(output)) == (once[0], json.loads(once[1]))


def test_a_checkpoint_that_can_ask_no_task_is_an_error(random_gpt2: GPT2) -> None:
    no_days = whole_words(days(), known=" house tree dog")
    with pytest.raises(VitroError, match="no claim can be asked of mute: task 'days'"):
        reproduce(GPT2.of(random_gpt2.hf, no_days), "mute", Options(samples=2))
