"""Boxes and arrows on a page: nothing overlaps, whatever is drawn."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from vitro.figures.layered import Arrow, Page, Size, place, upwards

TIP = 8.0


def box(width: float = 60.0, height: float = 40.0) -> Size:
    return Size(width, height)


def page(*pairs: tuple[str, str]) -> Page:
    names = dict.fromkeys(name for pair in pairs for name in pair)
    return place(dict.fromkeys(names, box()), [Arrow(*pair) for pair in pairs], TIP)


@st.composite
def pages(draw: st.DrawFn) -> tuple[Page, list[Arrow]]:
    count = draw(st.integers(2, 12))
    arrows = []
    for reader in range(1, count):
        for source in draw(st.lists(st.integers(0, reader - 1), min_size=1, max_size=4, unique=True)):
            port = draw(st.sampled_from([-17.0, 0.0, 17.0]))
            arrows.append(Arrow(str(source), str(reader), port))
    sizes = {str(number): box(draw(st.integers(40, 200)), draw(st.integers(60, 120))) for number in range(count)}
    return place(sizes, arrows, TIP), arrows


@settings(max_examples=60)
@given(pages())
def test_no_two_boxes_overlap_and_all_are_on_the_page(drawn: tuple[Page, list[Arrow]]) -> None:
    layout, _ = drawn
    edges = {
        name: (x - layout.sizes[name].width / 2, x + layout.sizes[name].width / 2, y - h, y + h)
        for name, (x, y) in layout.middles.items()
        for h in [layout.sizes[name].height / 2]
    }
    for name, (left, right, top, bottom) in edges.items():
        assert left >= -1e-6
        assert right <= layout.width + 1e-6
        assert top >= -1e-6
        assert bottom <= layout.height + 1e-6
        for other, (left_, right_, top_, bottom_) in edges.items():
            apart = right <= left_ or right_ <= left or bottom + 20 <= top_ or bottom_ + 20 <= top
            assert name == other or apart


@settings(max_examples=60)
@given(pages())
def test_no_arrow_runs_through_a_box(drawn: tuple[Page, list[Arrow]]) -> None:
    layout, _ = drawn
    for _, points in layout.curves:
        for x, y in points:
            for name, (middle, level) in layout.middles.items():
                inside = abs(x - middle) < layout.sizes[name].width / 2 - 1e-6
                assert not (inside and abs(y - level) < layout.sizes[name].height / 2)
        for (x0, y0), (x1, y1) in pairwise(points):
            # Within a column an arrow runs level, so its ends speak for what lies between them.
            across = [m for m, _ in layout.middles.values() if x0 < m < x1]
            assert not across or abs(y0 - y1) < 1e-6


@settings(max_examples=60)
@given(pages())
def test_every_arrow_goes_from_its_source_to_its_readers_port(drawn: tuple[Page, list[Arrow]]) -> None:
    layout, arrows = drawn
    assert [arrow for arrow, _ in layout.tips] == arrows
    for arrow, tip in layout.tips:
        curves = [points for taken_by, points in layout.curves if arrow in taken_by]
        (x, y), (x_, y_) = layout.middles[arrow.source], layout.middles[arrow.reader]
        assert x < x_
        assert near(tip, (x_ - layout.sizes[arrow.reader].width / 2, y_ + arrow.port))
        assert any(near(points[-1], (tip[0] - TIP, tip[1])) for points in curves)
        assert any(near(points[0], (x + layout.sizes[arrow.source].width / 2, y)) for points in curves)


def near(point: tuple[float, float], target: tuple[float, float]) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(point, target, strict=True))


def test_a_chain_stands_in_one_line_and_a_fork_to_both_sides() -> None:
    chain = page(("a", "b"), ("b", "c"))
    assert len({round(y, 6) for _, y in chain.middles.values()}) == 1
    fork = page(("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")).middles
    assert abs(fork["a"][1] - fork["d"][1]) < 1e-6
    assert fork["b"][1] < fork["a"][1] < fork["c"][1]


def test_boxes_are_ordered_so_that_arrows_do_not_cross() -> None:
    drawn = page(("s", "a"), ("s", "b"), ("b", "x"), ("a", "y"), ("x", "end"), ("y", "end")).middles
    assert (drawn["a"][1] < drawn["b"][1]) == (drawn["y"][1] < drawn["x"][1])


def test_what_reads_nothing_stands_just_before_its_reader() -> None:
    drawn = page(("a", "b"), ("b", "c"), ("c", "d"), ("late", "d")).middles
    assert drawn["late"][0] == drawn["c"][0]


def test_boxes_stand_in_the_columns_that_they_are_given() -> None:
    column = {"a": 0, "b": 1, "c": 1, "d": 2}
    arrows = [Arrow("a", "b"), Arrow("a", "d"), Arrow("c", "d")]
    layout = place(dict.fromkeys(column, box()), arrows, column=column)
    across = {name: x for name, (x, _) in layout.middles.items()}
    assert across["a"] < across["b"] == across["c"] < across["d"]


def test_a_page_turned_upwards_keeps_every_distance_and_its_arrows_rise() -> None:
    layout = page(("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))
    turned = upwards(layout)
    assert (turned.width, turned.height) == (layout.height, layout.width)
    for name, (x, y) in layout.middles.items():
        assert turned.middles[name] == (y, layout.width - x)
    assert all(points[0][1] >= points[-1][1] for _, points in turned.curves)
