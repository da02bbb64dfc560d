import math
import sys
from dataclasses import astuple
from itertools import permutations

import pytest
import torch
from torch import Tensor

from planted import SUCCESSOR
from successors.test_successors import cycle
from vitro.models import Model
from vitro.successors import Mode, modes, successor, turn
from vitro.successors.modes import products, spectrum
from vitro.successors.orders import cyclic_orders
from vitro.successors.verdict import LARGEST_P, failures, turned_planes, verdict

EYE = torch.eye(64, dtype=torch.float64)


def of_head(x: Tensor, w_value: Tensor, w_out: Tensor, unembed: Tensor) -> tuple[Mode, ...]:
    """The modes of one head."""
    (modes_of_head,) = modes(x[None], w_value[None], w_out[None], unembed)
    return modes_of_head


def of_input(modes_of_head: tuple[Mode, ...]) -> dict[int, Mode]:
    return {mode.mode: mode for mode in modes_of_head if mode.space == "input"}


def slow_mode(vectors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The real and the imaginary part of sum over i of v_i exp(-2 pi i k i / n), word by word."""
    n, real, imag = len(vectors), torch.zeros(vectors.shape[1]).double(), torch.zeros(vectors.shape[1]).double()
    for i, vector in enumerate(vectors):
        real += math.cos(math.tau * k * i / n) * vector
        imag -= math.sin(math.tau * k * i / n) * vector
    return real, imag


def slow_margin(written: Tensor, target: Tensor, k: int) -> float:
    """By how much what is written fits the mode of the targets one word on better than that any other number on."""
    n, y = len(written), torch.cat(slow_mode(written, k))
    fits = [float(torch.cosine_similarity(y, torch.cat(slow_mode(target.roll(-j, 0), k)), dim=0)) for j in range(n)]
    return fits[1] - max(fits[j] for j in range(n) if (j - 1) * k % n)


@pytest.mark.parametrize("n", [6, 7])
def test_a_modes_numbers_are_those_of_least_squares_over_all_orders(n: int) -> None:
    x, unembed = cycle(n, d_model=9, seed=n)
    draw = torch.Generator().manual_seed(n)
    # Partly a shift, so that no number is near its chance value.
    w_value = torch.linalg.pinv(x - x.mean(0)) + 0.1 * torch.randn(9, n, generator=draw).double()
    w_out = (x + 0.5 * unembed).roll(-1, 0)
    numbers = of_head(x, w_value, w_out, unembed)
    assert [(mode.space, mode.mode) for mode in numbers] == [
        (space, k) for space in ("input", "output") for k in range(1, (n + 1) // 2)
    ]
    x, unembed = x - x.mean(0), unembed - unembed.mean(0)
    written = x @ w_value @ w_out
    for mode in numbers:
        target, k = x if mode.space == "input" else unembed, mode.mode
        for share, vectors in ((mode.variance, target), (mode.written, written)):
            # The part of the vectors that is this mode: each the sum of a cosine and a sine.
            angles = math.tau * k * torch.arange(n).double() / n
            waves = torch.stack([angles.cos(), angles.sin()], 1)
            part = waves @ torch.linalg.lstsq(waves, vectors).solution
            assert share == pytest.approx(float(part.square().sum() / vectors.square().sum()))
        (a, b), (c, d) = slow_mode(target, k), slow_mode(written, k)
        y = torch.cat([c, d])
        plane = torch.stack([a, b], 1)
        inside = torch.cat([plane @ torch.linalg.lstsq(plane, part[:, None]).solution[:, 0] for part in (c, d)])
        assert mode.stays == pytest.approx(float(inside.square().sum() / y.square().sum()))
        turns = torch.stack([torch.cat([a, b]), torch.cat([-b, a])], 1)
        by = torch.linalg.lstsq(turns, y[:, None]).solution[:, 0]
        assert mode.turned == pytest.approx(float((turns @ by).square().sum() / inside.square().sum()))
        assert mode.advance == pytest.approx(math.atan2(by[1], by[0]) / (math.tau * k / n))
        assert mode.margin == pytest.approx(slow_margin(written, target, k))
    mode = numbers[1]
    true_margin = slow_margin(written, x, 2)
    orders = [[0, *rest] for rest in permutations(range(1, n))]
    as_good = sum(slow_margin(written[order], x[order], 2) >= true_margin - 1e-12 for order in orders)
    assert mode.p == pytest.approx(as_good / len(orders))
    assert 1 / len(orders) <= mode.p < 1


def only(kept: set[int], n: int) -> Tensor:
    """The projection of a cycle of n vectors on these modes of it."""
    apart = math.tau * (torch.arange(n)[:, None] - torch.arange(n)).double() / n
    return torch.stack([(k * apart).cos() * 2 / n for k in kept]).sum(0)


def shifts(x: Tensor, kept: set[int], rest: Tensor) -> tuple[Tensor, Tensor]:
    """An M (its factors) that takes these modes of each word to the next word's, and all else of the words to rest."""
    centred, part = x - x.mean(0), only(kept, len(x))
    w_out = 3.0 * part @ centred.roll(-1, 0) + (torch.eye(len(x)).double() - part) @ rest
    return torch.linalg.pinv(centred), w_out


@pytest.mark.parametrize("rest", [0.0, 1.0], ids=["annihilated", "scrambled"])
@pytest.mark.parametrize(("n", "k"), [(7, 1), (7, 2), (7, 3), (12, 1), (12, 4), (12, 5)])
def test_a_map_that_turns_one_plane_is_known_as_that_and_no_full_rotation(n: int, k: int, rest: float) -> None:
    x, unembed = cycle(n)
    factors = shifts(x, {k}, rest * cycle(n, seed=1)[0])
    planes, whole = of_head(x, *factors, unembed), turn(x, *factors, unembed)
    assert [mode.mode for mode in turned_planes(planes)] == [k]
    mode = of_input(planes)[k]
    assert (mode.stays, mode.turned, mode.advance) == pytest.approx((1, 1, 1))
    assert mode.p < LARGEST_P / 5
    assert failures(whole)
    if rest == 0:
        assert mode.written == pytest.approx(1)
        assert list(of_input(planes)) == [k]
    sentence = verdict("a1.h1", "days", whole, planes, [of_head(x, EYE, EYE, unembed)])
    assert "not a rotation of the whole span" in sentence
    assert f"But it turns one plane by one step, that of mode {k}" in sentence
    assert "as 0 of 1 random heads do" in sentence


def test_two_turned_planes_are_both_named() -> None:
    x, unembed = cycle(12)
    factors = shifts(x, {1, 3}, cycle(12, seed=1)[0])
    planes = of_head(x, *factors, unembed)
    assert [mode.mode for mode in turned_planes(planes)] == [1, 3]
    sentence = verdict("a1.h1", "months", turn(x, *factors, unembed), planes, [planes])
    assert "turns 2 planes by one step, that of mode 1" in sentence
    assert "and that of mode 3" in sentence
    assert "as 1 of 1 random heads do" in sentence


@pytest.mark.parametrize("n", [7, 12])
def test_a_full_shift_turns_the_whole_span_and_every_plane(n: int) -> None:
    x, unembed = cycle(n)
    centred = x - x.mean(0)
    factors = torch.linalg.pinv(centred), centred.roll(-1, 0)
    planes, whole = of_head(x, *factors, unembed), turn(x, *factors, unembed)
    assert not failures(whole)
    assert [mode.mode for mode in turned_planes(planes)] == list(range(1, (n + 1) // 2))
    assert ": a rotation" in verdict("a1.h1", "days", whole, planes, [])


def test_each_head_of_several_has_the_numbers_that_it_has_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    x, unembed = torch.randn(3, 7, 20, generator=draw), torch.randn(7, 20, generator=draw)
    w_value, w_out = torch.randn(3, 20, 4, generator=draw), torch.randn(3, 4, 20, generator=draw)
    together = modes(x, w_value, w_out, unembed)
    for head in range(3):
        alone = of_head(x[head], w_value[head], w_out[head], unembed)
        assert len(alone) == len(together[head]) == 6
        for mode, same in zip(alone, together[head], strict=True):
            assert astuple(mode)[1:] == pytest.approx(astuple(same)[1:])


@pytest.mark.parametrize("n", [7, 12])
def test_the_identity_turns_no_plane(n: int) -> None:
    x, unembed = cycle(n)
    planes = of_head(x, EYE, EYE, unembed)
    for mode in of_input(planes).values():
        assert (mode.stays, mode.turned, mode.p) == pytest.approx((1, 1, 1))
        assert mode.advance == pytest.approx(0, abs=1e-9)
        assert mode.margin < 0
    assert not turned_planes(planes)


def ring(n: int, noise: float) -> Tensor:
    """Words near a circle, as neighbours that are alike."""
    draw = torch.Generator().manual_seed(n)
    angles = torch.arange(n).double() * math.tau / n
    plane = torch.linalg.qr(torch.randn(64, 2, generator=draw).double()).Q
    circle = torch.stack([angles.cos(), angles.sin()], 1) @ plane.T
    words: Tensor = circle + noise * torch.randn(circle.shape, generator=draw).double()
    return words


@pytest.mark.parametrize("n", [7, 12])
@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_copy_of_a_ring_of_alike_neighbours_turns_no_plane(n: int, seed: int) -> None:
    x = ring(n, noise=0.05)
    draw = torch.Generator().manual_seed(seed)
    # It keeps the ring's plane, that is: what follows the words' order.
    plane = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:2]
    w_out = plane + 0.05 * torch.randn(2, 64, generator=draw).double()
    planes = of_head(x, plane.T, w_out, x)
    first = of_input(planes)[1]
    assert first.variance > 0.8
    assert first.stays > 0.8
    assert first.turned > 0.9
    assert abs(first.advance) < 0.2
    assert first.p > 0.1
    assert not turned_planes(planes)


@pytest.mark.parametrize("words", [-1, 2, 3])
def test_a_turn_by_other_than_one_word_is_none_by_one_step(words: int) -> None:
    x = ring(12, noise=0.05)
    centred = x - x.mean(0)
    factors = torch.linalg.pinv(centred), only({1}, 12) @ centred.roll(-words, 0)
    planes = of_head(x, *factors, x)
    first = of_input(planes)[1]
    assert (first.stays, first.turned, first.advance) == pytest.approx((1, 1, words))
    assert first.margin < 0
    assert not turned_planes(planes)
    assert "nearest is that of mode 1 (9" in verdict("a1.h1", "months", turn(x, *factors, x), planes, [])


def test_a_reflection_within_the_plane_is_no_turn_of_it() -> None:
    x = ring(12, noise=0.0)
    planes = of_head(x, torch.linalg.pinv(x), x[(1 - torch.arange(12)) % 12], x)
    first = of_input(planes)[1]
    assert first.stays == pytest.approx(1)
    assert first.turned == pytest.approx(0, abs=1e-9)
    assert not turned_planes(planes)


def test_a_mode_has_its_even_share_of_the_variance_on_average_over_all_orders() -> None:
    x = ring(7, noise=0.1)[None]
    centred = x - x.mean(1, keepdim=True)
    for k in (1, 2, 3):
        shares = spectrum(products(centred, centred), cyclic_orders(7), k)
        assert float(shares.real.mean()) == pytest.approx(2 / 6)
        assert shares.imag.abs().max() < 1e-9


def test_modes_that_the_words_have_not_are_left_out() -> None:
    x = ring(12, noise=0.0)
    planes = of_head(x, EYE, EYE, x)
    assert list(of_input(planes)) == [1]
    assert of_input(planes)[1].variance == pytest.approx(1)
    nothing = torch.zeros(64, 2), torch.zeros(2, 64)
    assert not of_head(x, *nothing, x)
    sentence = verdict("a1.h1", "months", turn(x, *nothing, x), of_head(x, *nothing, x), [])
    assert "Nor does it turn one plane by one step" in sentence


@pytest.mark.parametrize("n", [7, 12])
def test_random_ms_turn_no_plane_and_have_p_values_spread_over_0_to_1(n: int) -> None:
    x, unembed = cycle(n)
    draw = torch.Generator().manual_seed(n)
    w_value, w_out = torch.randn(2, 40, 64, 16, generator=draw)
    p = []
    for planes in modes(x.expand(40, n, 64), w_value, w_out.mT, unembed):
        assert not turned_planes(planes)
        p += [mode.p for mode in planes]
    assert 0.4 < sum(p) / len(p) < 0.6
    assert sum(value < 0.05 for value in p) < 0.1 * len(p)


@pytest.mark.parametrize("n", [7, 12])
def test_a_head_that_says_the_next_word_takes_every_mode_to_the_unembeddings_own(n: int) -> None:
    x, unembed = cycle(n)
    spoken = unembed - unembed.mean(0)
    planes = of_head(x, torch.linalg.pinv(x - x.mean(0)), spoken.roll(-1, 0), unembed)
    output_modes = [mode for mode in planes if mode.space == "output"]
    assert len(output_modes) == (n - 1) // 2
    for mode in output_modes:
        assert (mode.stays, mode.turned, mode.advance) == pytest.approx((1, 1, 1))
        assert mode.p < LARGEST_P / 5
    assert not turned_planes(planes)


def test_the_best_head_stands_beside_all_others_of_a_small_model(planted_model: Model) -> None:
    result = successor(planted_model)
    heads = {
        role: result.tables["rotation"].filter(role=role).select("layer", "head").rows() for role in ("best", "random")
    }
    assert heads["best"] == [SUCCESSOR]
    assert sorted(heads["random"] + heads["best"]) == [(layer, head) for layer in range(3) for head in range(4)]
    assert set(result.tables["modes"].filter(role="random").select("layer", "head").rows()) == set(heads["random"])
    best = result.tables["modes"].filter(role="best", space="output")
    assert best["mode"].to_list() == [1, 2, 3]
    assert best["turned"].to_numpy() == pytest.approx(1, abs=0.01)
    assert best["advance"].to_numpy() == pytest.approx(1, abs=0.01)


def test_of_many_heads_the_seed_draws_the_random_ones(planted_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["vitro.successors.successor"], "RANDOM_HEADS", 5)
    drawn = []
    for seed in (0, 0, 1):
        table = successor(planted_model, seed=seed).tables["rotation"]
        drawn.append(set(table.filter(role="random").select("layer", "head").rows()))
        assert len(drawn[-1] - {SUCCESSOR}) == 5
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_page_shows_the_best_heads_numbers_between_the_random_heads_extremes(planted_model: Model) -> None:
    result = successor(planted_model)
    modes = result.tables["modes"]
    shown = result.beside_random("modes", "set", "space", "mode")
    assert shown["role"].to_list()[:3] == ["best", "random, lowest", "random, highest"]
    assert len(shown) == 3 * 6
    stays = modes.filter(role="random", space="input", mode=2)["stays"].to_list()
    asked = shown.filter(space="input", mode=2)["stays"].to_list()
    assert asked == [modes.filter(role="best", space="input", mode=2)["stays"][0], min(stays), max(stays)]
