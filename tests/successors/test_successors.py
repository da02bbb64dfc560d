import json
import math
import sys
from itertools import permutations
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor

from places import Layer
from planted import SUCCESSOR
from slow import final_norm_of
from small_models import random_model
from task_tokenizers import digit_by_digit, gpt2
from vitro.cli import main
from vitro.engine import NotFiniteError
from vitro.errors import VitroError
from vitro.experiments import EXPERIMENTS
from vitro.models import Model, load
from vitro.successors import SETS, OrderedSet, page, successor, turn
from vitro.successors.orders import ORDERS, cyclic_orders, p_values
from vitro.successors.rotation import singular_values
from vitro.successors.scores import NORMS, effective_embedding, head_outputs, leading, word_logits
from vitro.successors.sets import known_sets
from vitro.successors.verdict import LARGEST_P, failures
from vitro.tasks import days, numbers

FAMILIES = ["gpt2", "gpt2-untied-one-head", "llama-gqa-3", "llama-gqa-2-biases-wide-heads", "qwen2", "neox-parallel",
            "neox-no-bias-tied"]  # fmt: skip
TOKENS = [3, 14, 15, 9, 26, 5, 35]


def test_the_planted_successor_head_scores_1_on_days_and_no_other_does(planted_model: Model) -> None:
    result = successor(planted_model)
    with_norms = result.tables["scores"].filter(norms="with", set="days")
    perfect = with_norms.filter(score=1.0).select("layer", "head").rows()
    assert perfect == [SUCCESSOR] == [result.best]
    assert len(with_norms) == 12


def test_the_planted_successor_head_writes_in_order_but_does_not_rotate(planted_model: Model) -> None:
    result = successor(planted_model)
    best = result.tables["rotation"].filter(set="days", role="best").row(0, named=True)
    # It reads the words' coordinates and writes those of their outputs: another space.
    assert best["output_p"] < LARGEST_P
    assert best["output_rank"] == 1
    assert best["stays"] < 0.1
    assert "not a rotation" in result.verdicts[0]


def test_a_study_shows_what_was_measured_without_it(planted_model: Model) -> None:
    alone, shown = successor(planted_model), EXPERIMENTS["successor"].measure(planted_model, days())
    assert shown.numbers.equals(alone.numbers.cast({pl.Float64: pl.Float32}))
    assert shown.figures.keys() == alone.figures.keys()
    assert EXPERIMENTS["successor"].summary(shown.tables) == " ".join([alone.summary(), *alone.verdicts])


def explicit_logits(model: Model, layer: int, head: int, norms: str) -> Tensor:
    """The words x words logits of a head, from the checkpoint's weights and nothing of Vitro's."""
    first, at = Layer(model, 0), Layer(model, layer)
    embedded = model.hf.get_input_embeddings()(torch.tensor(TOKENS))
    x = embedded + first.mlp(first.mlp_norm(embedded))
    m = at.value_map(head)[0] @ at.w_out(head)
    shift = getattr(at.head_norm, "bias", torch.zeros(model.shape.d_model))
    out = final_norm_of(model)((at.head_norm(x) - shift) @ m) if norms == "with" else x @ m
    logits: Tensor = model.hf.get_output_embeddings()(out)[:, TOKENS]
    return logits


def test_a_word_leads_only_where_no_other_says_as_much_and_all_are_numbers() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [3.0, 3.0, 2.0], [1.0, torch.nan, 2.0], [0.0, 0.0, 0.0]])
    assert leading(logits).tolist() == [1, -1, -1, -1]
    assert leading(logits[None].expand(2, -1, -1)).tolist() == [[1, -1, -1, -1]] * 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("norms", NORMS)
def test_scores_are_read_off_the_logits_of_w_v_w_o(family: str, norms: str) -> None:
    model = random_model(family)
    inputs = effective_embedding(model, TOKENS)
    for layer in range(model.shape.n_layers):
        logits = word_logits(model, head_outputs(model, layer, inputs, norms), TOKENS, norms)  # type: ignore[arg-type]
        for head in range(model.shape.n_heads):
            torch.testing.assert_close(logits[head], explicit_logits(model, layer, head, norms), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_values_are_the_normed_stream_times_w_value_plus_b_v(family: str) -> None:
    model = random_model(family)
    stream = torch.randn(1, 5, model.shape.d_model)
    for layer in range(model.shape.n_layers):
        _, _, values = model.qkv(layer, stream, torch.arange(5))
        values = values[0].repeat_interleave(model.shape.n_heads // model.shape.n_kv_heads, dim=1).transpose(0, 1)
        expected = model.head_norm(layer)(stream) @ model.w_value(layer) + model.b_value(layer)[:, None]
        torch.testing.assert_close(expected, values, rtol=1e-4, atol=1e-4)


def cycle(n: int, d_model: int = 64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """n random vectors, and others to say them with."""
    generator = torch.Generator().manual_seed(seed)
    x, unembed = torch.randn(2, n, d_model, generator=generator, dtype=torch.float64)
    return x, unembed


@pytest.mark.parametrize("n", [7, 12])
def test_a_shift_of_the_cycle_has_the_nth_roots_and_is_a_rotation(n: int) -> None:
    x, unembed = cycle(n)
    centred = x - x.mean(0)
    result = turn(x, 3.0 * torch.linalg.pinv(centred), centred.roll(-1, dims=0), unembed)
    roots = [3.0 * complex(math.cos(math.tau * k / n), math.sin(math.tau * k / n)) for k in range(1, n)]
    assert result.eigenvalues == pytest.approx(roots, abs=1e-6)
    assert result.stays == pytest.approx(1)
    assert result.input_cosine == pytest.approx(1)
    # One order is the right one.
    assert result.input_p == pytest.approx(1 / (720 if n == 7 else 1 + ORDERS))
    assert not failures(result)
    assert result.output_p > LARGEST_P


@pytest.mark.parametrize("n", [7, 12])
@pytest.mark.parametrize("seed", range(5))
def test_a_random_m_is_no_rotation(n: int, seed: int) -> None:
    x, unembed = cycle(n)
    generator = torch.Generator().manual_seed(seed + 1)
    w_value = torch.randn(64, 16, generator=generator, dtype=torch.float64)
    w_out = torch.randn(16, 64, generator=generator, dtype=torch.float64)
    result = turn(x, w_value, w_out, unembed)
    assert failures(result)
    assert result.stays < 0.5
    assert abs(result.input_cosine) < 0.3


def test_of_seven_words_all_orders_are_asked_and_of_twelve_ten_thousand() -> None:
    all_of_them = cyclic_orders(7)
    assert {tuple(order) for order in all_of_them.tolist()} == {(0, *rest) for rest in permutations(range(1, 7))}
    assert len(all_of_them) == 720
    drawn = cyclic_orders(12, seed=3)
    assert len(drawn) == 1 + ORDERS
    assert len({tuple(order) for order in drawn.tolist()}) > 0.99 * ORDERS
    assert (drawn.sort(-1).values == torch.arange(12)).all()
    for orders in (all_of_them, drawn):
        assert orders[0].tolist() == list(range(orders.shape[1]))
    assert not torch.equal(drawn, cyclic_orders(12, seed=4))


def test_a_p_value_is_the_share_of_orders_that_do_as_well() -> None:
    scores = torch.tensor([[0.5, 2.0], [0.5, 1.0], [0.1, 1.0], [0.7, 1.0]], dtype=torch.float64)
    assert p_values(scores).tolist() == [0.75, 0.25]


def test_p_values_of_random_ms_are_spread_over_0_to_1() -> None:
    x, unembed = cycle(7)
    draw = torch.Generator().manual_seed(5)
    p_values = []
    for _ in range(40):
        w_value, w_out = torch.randn(2, 64, 16, generator=draw, dtype=torch.float64)
        p_values.append(turn(x, w_value, w_out.T, unembed).input_p)
    assert sum(p < 0.05 for p in p_values) <= 6
    assert 0.3 < sum(p_values) / len(p_values) < 0.7


def test_the_identity_stays_in_the_span_and_is_still_no_rotation() -> None:
    x, unembed = cycle(7)
    eye = torch.eye(64, dtype=torch.float64)
    result = turn(x, eye, eye, unembed)
    assert result.stays == pytest.approx(1)
    assert result.spread == pytest.approx(1)
    assert result.input_cosine < 0
    assert failures(result)


def test_copying_a_ring_follows_it_both_ways_and_is_no_step() -> None:
    angles = torch.arange(12, dtype=torch.float64) * math.tau / 12
    ring = torch.stack([angles.cos(), angles.sin()], dim=1) @ torch.randn(2, 64, dtype=torch.float64)
    eye = torch.eye(64, dtype=torch.float64)
    result = turn(ring, eye, eye, ring)
    assert result.input_cosine > 0.5
    assert result.input_step == pytest.approx(0, abs=1e-9)
    assert result.input_p > 0.2


def test_singular_values_of_the_factors_are_those_of_the_product() -> None:
    w_value, w_out = torch.randn(40, 6), torch.randn(6, 40)
    whole = torch.linalg.svdvals((w_value @ w_out).double())
    torch.testing.assert_close(singular_values(w_value, w_out), whole[:6], rtol=1e-5, atol=1e-5)


def test_gpt2s_tokenizer_knows_all_nine_sets_and_says_which_words_it_does_not() -> None:
    known, notes = known_sets(gpt2())
    assert [ordered.name for ordered in known] == [ordered.name for ordered in SETS]
    assert known[3].complete
    assert len(known[3].pairs) == 7
    assert known[3].tokens[0] == 3321
    assert all("left out" in note for note in notes)


def test_a_missing_word_breaks_its_pairs_and_a_small_set_is_skipped_with_a_note() -> None:
    known, notes = known_sets(gpt2(), [
        OrderedSet("with a gap", ("one", "two", "qwxyzzy", "four", "five", "six", "seven")),
        OrderedSet("small", ("first", "second", "third", "fourth")),
    ])  # fmt: skip
    assert [ordered.name for ordered in known] == ["with a gap"]
    assert known[0].pairs == ((0, 1), (2, 3), (3, 4), (4, 5))
    assert not known[0].complete
    assert notes == [
        "with a gap: not one token with its space, left out: qwxyzzy",
        "small: skipped, 3 of 3 neighbouring pairs are known",
    ]


def test_numbers_whose_digits_stand_alone_are_asked_about_without_their_space() -> None:
    tokenizer = digit_by_digit(numbers(12))
    (known,), notes = known_sets(tokenizer, [OrderedSet("numbers", tuple(map(str, range(1, 13))))])
    assert known.words == tuple("123456789")
    assert len(known.pairs) == 8
    assert notes[0] == "numbers: no word is one token with its space; asked about without it"


def test_a_tokenizer_that_knows_no_set_is_an_error(planted_model: Model) -> None:
    with pytest.raises(VitroError, match="knows no ordered set"):
        successor(planted_model, [OrderedSet("letters", tuple("ABCDEFG"))])


def test_the_page_shows_scores_words_and_eigenvalues(planted_model: Model) -> None:
    result = successor(planted_model)
    html = page(result, "vitro successor --model planted")
    assert html.count("<figure") == 3
    assert result.best_name in html
    assert "a1.h1's M turn a plane" in html.replace("&#39;", "'")
    assert "left out" in html
    assert "<svg" in result._repr_html_()


def test_without_a_cycle_there_is_no_question_of_rotation(planted_model: Model) -> None:
    result = successor(planted_model, [OrderedSet("days", days().words)])
    assert result.best == SUCCESSOR
    assert not result.verdicts
    assert "rotation" not in page(result, "vitro successor").partition("<script")[0]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["vitro", "successor", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_prints_the_heads_and_writes_a_page(
    planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "successors.html"
    assert run(monkeypatch, "--model", str(planted_folder), "--top", "2", "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "a1.h1" in said
    assert "7 of 7" in said
    assert "not a rotation" in said
    assert "months: skipped" in said
    assert "a1.h1" in out.read_text()


def test_the_commands_json_parses(
    planted_folder: Path, planted_model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", str(planted_folder), "--json", "--top", "3") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["best"] == "a1.h1"
    assert len(said["heads"]) == 3
    assert said["heads"][0]["days"] == 1.0
    assert len(said["rotation"]) == 12
    assert {row["mode"] for row in said["modes"]} == {1, 2, 3}


def test_words_that_overflow_are_refused_with_what_works(planted_folder: Path, planted_model: Model) -> None:
    model = load(str(planted_folder), dtype="float16")
    model.hf.transformer.h[0].mlp.c_proj.weight[:] = 6e4
    with pytest.raises(NotFiniteError, match=r"layer 0.*bfloat16"):
        successor(model)


def test_an_unknown_model_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", "no/such/folder") == 2
    said = capsys.readouterr().err
    assert said.startswith("vitro: ")
    assert said.count("\n") == 1
