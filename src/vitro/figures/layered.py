"""Boxes and arrows on a page: columns from left to right, with arrows that never cross a box."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise
from statistics import fmean

_ORDERS, _PULLS = 24, 200
"""Sweeps over the columns, for the order in each and for the heights."""

_BOX_GAP, _LANE_GAP = 24.0, 18.0
"""Pixels between two boxes above each other, and between a box or a lane and a lane."""

GAPS = (56.0, 130.0)
"""Pixels between two columns, at least and at most: more where arrows climb far."""

_CURVE = 14
"""Points of a curve."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Size:
    """Pixels of a box."""

    width: float
    height: float


@dataclass(frozen=True)
class Arrow:
    """An arrow from the right side of one box to the left side of another, `port` pixels below its middle."""

    source: str
    reader: str
    port: float = 0.0


@dataclass(frozen=True)
class Page:
    """Where everything stands, in pixels from the top left corner."""

    width: float
    height: float
    middles: Mapping[str, Point]
    sizes: Mapping[str, Size]
    """The boxes as drawn: those of a column are equally wide."""
    curves: Sequence[tuple[Sequence[Arrow], Sequence[Point]]]
    """Pieces of arrows: those that share it, which are of one source, and its points."""
    tips: Sequence[tuple[Arrow, Point]]
    """Where the arrows end."""


@dataclass(frozen=True)
class _Item:
    """A box (`lane` False), or the place at which a source's arrows pass a column."""

    name: str
    column: int
    lane: bool


def place(
    boxes: Mapping[str, Size],
    arrows: Sequence[Arrow],
    tip: float = 0.0,
    column: Mapping[str, int] | None = None,
    gaps: tuple[float, float] = GAPS,
) -> Page:
    """A page for boxes and their arrows; boxes are given from top to bottom, which decides where nothing else does.

    column: of each box, to the right of those that it reads. Where it is not given, a box stands in the column after
    the last box that it reads, and a box that reads nothing in the column before its first reader.

    An arrow that skips a column passes it in a lane of its own (Sugiyama et al. 1981: order by the mean of the
    neighbours, keep the order with the fewest crossings; then heights by least squares in that order). tip: pixels of
    an arrow's head, at which its curve ends.
    """
    column = _columns(boxes, arrows) if column is None else column
    lanes, links = _links(arrows, column)
    items: list[list[_Item]] = [[] for _ in range(max(column.values(), default=0) + 1)]
    for item in [*(_Item(name, column[name], False) for name in boxes), *lanes]:
        items[item.column].append(item)
    ranks = {name: number for number, name in enumerate(boxes)}
    for members in items:
        members.sort(key=lambda item: ranks[item.name])
    items = _ordered(items, links, boxes)
    height = _heights(items, links, boxes)
    return _drawn(items, links, height, boxes, arrows, tip, gaps)


def upwards(page: Page) -> Page:
    """A page turned so that its arrows rise: its boxes are placed with width and height exchanged."""

    def turned(point: Point) -> Point:
        return point[1], page.width - point[0]

    return Page(
        width=page.height,
        height=page.width,
        middles={name: turned(point) for name, point in page.middles.items()},
        sizes={name: Size(size.height, size.width) for name, size in page.sizes.items()},
        curves=[(arrows, list(map(turned, points))) for arrows, points in page.curves],
        tips=[(arrow, turned(point)) for arrow, point in page.tips],
    )


def _columns(boxes: Iterable[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    reads: dict[str, set[str]] = {name: set() for name in boxes}
    for arrow in arrows:
        reads[arrow.reader].add(arrow.source)
    column: dict[str, int] = {}
    for name in TopologicalSorter(reads).static_order():
        column[name] = max((column[source] + 1 for source in reads[name]), default=0)
    for name in boxes:
        read_by = [column[arrow.reader] for arrow in arrows if arrow.source == name]
        if not reads[name] and read_by:
            column[name] = min(read_by) - 1
    return column


_Link = tuple[_Item, _Item, float]
"""Two neighbours of an arrow's way, and its port at the right one."""


def _links(arrows: Sequence[Arrow], column: Mapping[str, int]) -> tuple[list[_Item], dict[_Link, list[Arrow]]]:
    """The lanes, and the links between neighbouring columns, each with the arrows that take it.

    Arrows of one source share a lane as far as they can.
    """
    lanes: dict[_Item, None] = {}
    links: dict[_Link, list[Arrow]] = defaultdict(list)
    for arrow in arrows:
        before = _Item(arrow.source, column[arrow.source], False)
        for at in range(before.column + 1, column[arrow.reader]):
            lane = _Item(arrow.source, at, True)
            lanes[lane] = None
            links[before, lane, 0.0].append(arrow)
            before = lane
        links[before, _Item(arrow.reader, column[arrow.reader], False), arrow.port].append(arrow)
    return list(lanes), links


def _ordered(items: list[list[_Item]], links: Collection[_Link], boxes: Mapping[str, Size]) -> list[list[_Item]]:
    """The order within each column with the fewest crossings among those that sweeps to and fro try."""
    best, fewest = items, _crossings(items, links)
    for sweep in range(_ORDERS):
        rightwards = sweep % 2 == 0
        beside: dict[_Item, list[tuple[_Item, float]]] = defaultdict(list)
        for left, right, port in links:
            beside[right if rightwards else left].append((left, 0.0) if rightwards else (right, port))
        items = [list(members) for members in items]
        height = _stacked(items, boxes)
        for members in items if rightwards else reversed(items):
            wanted = {
                item: fmean([height[neighbour] + port for neighbour, port in beside[item]] or [height[item]])
                for item in members
            }
            members.sort(key=lambda item: wanted[item])
            height.update(_stacked([members], boxes))
        if (count := _crossings(items, links)) < fewest:
            best, fewest = items, count
    return best


def _crossings(items: Sequence[Sequence[_Item]], links: Collection[_Link]) -> int:
    """How many pairs of links cross: inversions, column by column."""
    rank = {item: number for members in items for number, item in enumerate(members)}
    ends: dict[_Item, list[tuple[int, float]]] = defaultdict(list)
    for left, right, port in links:
        ends[left].append((rank[right], port))
    crossed = 0
    for members in items:
        above: list[tuple[int, float]] = []
        for item in members:
            crossed += sum(len(above) - bisect_right(above, end) for end in ends[item])
            for end in ends[item]:
                insort(above, end)
    return crossed


def _stacked(items: Sequence[Sequence[_Item]], boxes: Mapping[str, Size]) -> dict[_Item, float]:
    """Heights with every column stacked as closely as possible, around 0."""
    height: dict[_Item, float] = {}
    for members in items:
        offsets = _offsets(members, boxes)
        middle = (offsets[0] + offsets[-1]) / 2
        height |= {item: offset - middle for item, offset in zip(members, offsets, strict=True)}
    return height


def _heights(
    items: Sequence[Sequence[_Item]], links: Collection[_Link], boxes: Mapping[str, Size]
) -> dict[_Item, float]:
    """Heights near the mean of each item's neighbours, in the given order and with the gaps kept."""
    beside: dict[_Item, list[tuple[_Item, float, float]]] = defaultdict(list)
    for left, right, port in links:
        # Lanes run straight before all else, and bend to a box rather than move it.
        weight = 8.0 if left.lane and right.lane else 0.25 if left.lane or right.lane else 1.0
        beside[left].append((right, port, weight))
        beside[right].append((left, -port, weight))
    pull = {item: sum(weight for _, _, weight in beside[item]) or 1.0 for members in items for item in members}
    height = _stacked(items, boxes)
    for sweep in range(_PULLS):
        for members in items if sweep % 2 == 0 else reversed(items):
            wanted = [
                sum((height[neighbour] + port) * weight for neighbour, port, weight in beside[item]) / pull[item]
                for item in members
            ]
            apart = _kept_apart(wanted, [pull[item] for item in members], _offsets(members, boxes))
            height.update(zip(members, apart, strict=True))
    return height


def _offsets(members: Sequence[_Item], boxes: Mapping[str, Size]) -> list[float]:
    """The smallest distance of each item below the first."""
    offsets = [0.0]
    for above, below in pairwise(members):
        gap = _BOX_GAP if not above.lane and not below.lane else _LANE_GAP
        halves = sum(0.0 if item.lane else boxes[item.name].height / 2 for item in (above, below))
        offsets.append(offsets[-1] + halves + gap)
    return offsets


def _kept_apart(wanted: Sequence[float], pull: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The heights nearest to those wanted, by weighted least squares, that keep the offsets between them.

    Items that would be too close move as a block, to the mean of what its members want (pool adjacent violators).
    """
    blocks: list[tuple[float, float, int]] = []
    for want, weight, offset in zip(wanted, pull, offsets, strict=True):
        blocks.append((want - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (first, v, m), (second, w, n) = blocks[-2:]
            blocks[-2:] = [((first * v + second * w) / (v + w), v + w, m + n)]
    shared = [level for level, _, members in blocks for _ in range(members)]
    return [level + offset for level, offset in zip(shared, offsets, strict=True)]


def _drawn(
    items: Sequence[Sequence[_Item]],
    links: Mapping[_Link, Sequence[Arrow]],
    height: Mapping[_Item, float],
    boxes: Mapping[str, Size],
    arrows: Sequence[Arrow],
    tip: float,
    gaps: tuple[float, float],
) -> Page:
    """The page: columns side by side, and curves that leave and arrive level."""
    widths = [max((boxes[item.name].width for item in members if not item.lane), default=0.0) for members in items]
    climbs = [0.0] * len(items)
    for left, right, port in links:
        climbs[left.column] = max(climbs[left.column], abs(height[right] + port - height[left]))
    lefts = [0.0]
    for width, climb in zip(widths[:-1], climbs, strict=False):
        lefts.append(lefts[-1] + width + min(gaps[1], max(gaps[0], 0.5 * climb)))
    reach = {item: 0.0 if item.lane else boxes[item.name].height / 2 for item in height}
    top = min(height[item] - reach[item] for item in height)
    level = {item: value - top for item, value in height.items()}
    curves, tips = [], {}
    for (left, right, port), taken_by in links.items():
        start = (lefts[left.column] + widths[left.column], level[left])
        end = (lefts[right.column] - (0.0 if right.lane else tip), level[right] + port)
        points = _curve(start, end)
        if right.lane:
            points.append((lefts[right.column] + widths[right.column], level[right]))
        else:
            tips[left.name, right.name, port] = (lefts[right.column], level[right] + port)
        curves.append((taken_by, points))
    return Page(
        width=lefts[-1] + widths[-1],
        height=max(level[item] + reach[item] for item in level),
        middles={
            item.name: (lefts[item.column] + widths[item.column] / 2, level[item]) for item in level if not item.lane
        },
        sizes={item.name: Size(widths[item.column], boxes[item.name].height) for item in level if not item.lane},
        curves=curves,
        tips=[(arrow, tips[arrow.source, arrow.reader, arrow.port]) for arrow in arrows],
    )


def _curve(start: Point, end: Point) -> list[Point]:
    """A Bézier curve of third degree, level at both ends."""
    (x0, y0), (x1, y1) = start, end
    if abs(y1 - y0) < 0.5:
        return [start, end]
    times = [number / _CURVE for number in range(_CURVE + 1)]
    return [
        (
            x0 * (1 - t) ** 3 + 3 * (x0 + x1) / 2 * t * (1 - t) + x1 * t**3,
            y0 + (y1 - y0) * t * t * (3 - 2 * t),
        )
        for t in times
    ]
