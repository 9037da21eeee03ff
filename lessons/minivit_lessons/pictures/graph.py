"""Pictures of a graph of Values: a box for each Value with its gradient, and an edge for each local derivative.

The boxes are in columns, the last Value on the right, and every box one column left of the first that uses it.
Computation goes from left to right, gradients from right to left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from ..display import new_figure

COLUMN, ROW = 2.05, 0.9  # from the centre of one box to the next
WIDTH, HEIGHT = 1.26, 0.68  # of a box
FONT = 12.0  # points, where a unit is an inch
THIN = 0.45  # the height of a row where an edge passes a column without a box

INK, FAINT = "#1b1b1b", "#8a8a8a"
LEAF, RESULT = "#d3e6f4", "#eeeeee"  # inputs, and computed Values
ARRIVED, PARTLY = "#f6c29b", "#fdeadb"  # the gradient is complete, or not yet
FLOW, EDGE = "#d55e00", "#9bb4c4"

# What lesson 01's picture of errors shows: here, and not in its cell, since the lesson asks to guess first.
STEP_ERRORS = (
    "Error against step, both logarithmic. For both sides the error falls to about 1e-10 near step 1e-5; "
    "for smaller steps it grows again."
)


class Value(Protocol):
    """What the picture reads of a Value in the graph."""

    data: float
    grad: float
    label: str
    parents: Sequence[Any]
    slopes: Sequence[float]


# -- the picture ----------------------------------------------------------------------------------------


def draw_graph(end: Value, gradients: bool = True, slopes: bool = True, scale: float = 0.82) -> Any:
    """Draw the graph that `end` was computed from.

    Args:
        end: the last Value, on the right.
        gradients: write the numbers in `.grad`, or else question marks.
        slopes: write the local derivatives at the edges; a large graph is clearer without.
        scale: inches for one unit; the text grows with it.

    Returns:
        A matplotlib figure.
    """
    layout = arrange(end)
    figure = _figure(layout, panels=1, scale=scale)
    _draw(figure.subplots(), layout, scale, done=None if gradients else (), slopes=slopes)
    return figure


def draw_walk(end: Value, order: Sequence[Value], moments: Iterable[int], scale: float = 0.82) -> Any:
    """Draw the backward pass at some moments, one below the other.

    Args:
        end: the Value that the pass began with; every `.grad` is complete.
        order: the order of the visits.
        moments: for each panel, the number of Values visited before.
        scale: as for `draw_graph`.

    Returns:
        A matplotlib figure.
    """
    layout, moments = arrange(end), list(moments)
    figure = _figure(layout, panels=len(moments), scale=scale)
    for axes, moment in zip(figure.subplots(len(moments), 1, squeeze=False)[:, 0], moments, strict=True):
        _draw(axes, layout, scale, done=order[:moment])
        title = "before the first visit" if not moment else f"after visit {moment} of {len(order)}"
        axes.set_title(title, loc="left", fontsize=FONT * scale, color=INK)
    return figure


# -- the layout -----------------------------------------------------------------------------------------


@dataclass(eq=False)
class Place:
    """A box in the picture, or a point where an edge passes a column."""

    column: int  # counted from the end, which has 0
    value: Value | None = None
    right: list[Place] = field(default_factory=list)
    left: list[Place] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0

    @property
    def size(self) -> float:
        """The height of the place."""
        return ROW if self.value is not None else THIN


@dataclass(frozen=True)
class Layout:
    """All boxes by the id of their Value, and for each edge the places that it passes."""

    boxes: dict[int, Place]
    edges: list[tuple[Value, int, list[Place]]]  # the Value, which of its parents, and the way from there to it
    width: float
    height: float


def arrange(end: Value) -> Layout:
    """Return a layout with a place for every Value that `end` was computed from, with few crossings."""
    values = _values_below(end)  # every one before what it was computed from
    column = {id(end): 0}
    for value in values:
        for parent in value.parents:
            column[id(parent)] = max(column.get(id(parent), 0), column[id(value)] + 1)

    boxes = {id(value): Place(column[id(value)], value) for value in values}
    columns: list[list[Place]] = [[] for _ in range(1 + max(column.values()))]
    for value in reversed(values):
        columns[column[id(value)]].append(boxes[id(value)])
    edges: list[tuple[Value, int, list[Place]]] = []
    for value in values:
        for i, parent in enumerate(value.parents):
            way = [boxes[id(parent)]]
            for between in range(column[id(parent)] - 1, column[id(value)], -1):
                way.append(Place(between))
                columns[between].append(way[-1])
            way.append(boxes[id(value)])
            for a, b in pairwise(way):
                a.right.append(b)
                b.left.append(a)
            edges.append((value, i, way))

    columns = _fewest_crossings(columns)
    _set_heights(columns)
    for number, places in enumerate(reversed(columns)):
        for place in places:
            place.x = number * COLUMN
    top = max(place.y + place.size / 2 for places in columns for place in places)
    bottom = min(place.y - place.size / 2 for places in columns for place in places)
    for place in (place for places in columns for place in places):
        place.y -= bottom
    return Layout(boxes, edges, (len(columns) - 1) * COLUMN + WIDTH, top - bottom)


def _values_below(end: Value) -> list[Value]:
    """Return all Values that `end` was computed from, itself first, each before its parents."""
    finished: list[Value] = []
    seen: set[int] = set()
    stack: list[tuple[Value, bool]] = [(end, False)]
    while stack:
        value, is_left = stack.pop()
        if is_left:
            finished.append(value)
        elif id(value) not in seen:
            seen.add(id(value))
            stack.append((value, True))
            stack.extend((parent, False) for parent in value.parents)
    return finished[::-1]


def _fewest_crossings(columns: list[list[Place]], sweeps: int = 8) -> list[list[Place]]:
    """Return the columns in an order with few crossings: sort each by its neighbours' centre, in sweeps."""
    # The first order follows the operands: the left one is above.
    order = [columns[0]]
    for places in columns[1:]:
        wanted = [place for right in order[-1] for place in dict.fromkeys(right.left)]
        order.append([place for place in dict.fromkeys(wanted) if place in places])
    best, fewest = [list(places) for places in order], _crossings(order)
    for sweep in range(sweeps):
        to_left = sweep % 2 == 1
        numbers = range(1, len(order)) if to_left else range(len(order) - 2, -1, -1)
        for number in numbers:
            fixed = {id(place): i for i, place in enumerate(order[number - 1 if to_left else number + 1])}
            own = {id(place): float(i) for i, place in enumerate(order[number])}
            order[number].sort(key=lambda place, fixed=fixed, own=own, to_left=to_left: _middle(
                [fixed[id(other)] for other in (place.right if to_left else place.left)], own[id(place)]
            ))  # fmt: skip
        crossings = _crossings(order)
        if crossings < fewest:
            best, fewest = [list(places) for places in order], crossings
    return best


def _middle(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _crossings(columns: list[list[Place]]) -> int:
    count = 0
    for right, left in pairwise(columns):
        row = {id(place): i for i, place in enumerate(right)}
        ends = [(i, row[id(other)]) for i, place in enumerate(left) for other in place.right]
        count += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(ends) for c, d in ends[:k])
    return count


def _set_heights(columns: list[list[Place]], sweeps: int = 20) -> None:
    """Give each place a y in the order of its column, as near as possible to its neighbours."""
    for places in columns:
        _spread(places, [0.0] * len(places))
    for sweep in range(sweeps):
        for places in columns if sweep % 2 else reversed(columns):
            _spread(places, [_middle([o.y for o in (*p.left, *p.right)], p.y) for p in places])


def _spread(places: list[Place], wanted: list[float]) -> None:
    """Give places the heights nearest to the wanted ones, from top to bottom, so that no two overlap.

    After the distances between neighbours are subtracted, the heights must not rise: neighbours that would rise are
    pooled at their mean (the pool-adjacent-violators algorithm).
    """
    room, total = [0.0], 0.0
    for a, b in pairwise(places):
        total += (a.size + b.size) / 2
        room.append(total)
    pools: list[tuple[float, int]] = []  # mean, how many
    for target, below in zip(wanted, room, strict=False):
        mean, count = target + below, 1
        while pools and pools[-1][0] < mean:
            other, n = pools.pop()
            mean, count = (mean * count + other * n) / (count + n), count + n
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    for place, mean, below in zip(places, flat, room, strict=False):
        place.y = mean - below


# -- drawing --------------------------------------------------------------------------------------------


def _figure(layout: Layout, panels: int, scale: float) -> Any:
    return new_figure(scale * (layout.width + 0.1), panels * (scale * (layout.height + 0.1) + 0.25))


def _draw(axes: Any, layout: Layout, scale: float, done: Collection[Value] | None, slopes: bool = True) -> None:
    """Fill axes with the graph.

    Args:
        axes: the matplotlib axes.
        layout: where everything is.
        scale: inches for one unit.
        done: the Values that the backward pass has visited, in its order; None shows all gradients.
        slopes: write the local derivatives at the edges.
    """
    axes.set(xlim=(-WIDTH / 2 - 0.05, layout.width - WIDTH / 2 + 0.05), ylim=(-0.05, layout.height + 0.05))
    axes.set_aspect("equal")
    axes.set_axis_off()
    turn = list(done)[-1] if done else None
    last = turn if turn is not None and turn.parents else None  # a leaf passes nothing on
    for value, i, way in layout.edges:
        twins = [k for k, parent in enumerate(value.parents) if parent is value.parents[i]]
        bend = twins.index(i) - (len(twins) - 1) / 2
        slope = value.slopes[i] if slopes and i < len(value.slopes) else None
        _draw_edge(axes, way, bend, slope, scale, flows=value is last, faint=done is not None and value is not last)
    for place in layout.boxes.values():
        assert place.value is not None
        _draw_box(axes, place, *_gradient(place.value, layout, done), scale=scale, marked=place.value is last)


def _gradient(value: Value, layout: Layout, done: Collection[Value] | None) -> tuple[float | None, bool]:
    """Return the part of a Value's gradient that has arrived, and whether it is complete."""
    if done is None:
        return value.grad, True
    users = [(user, i) for user, i, way in layout.edges if way[0].value is value]
    if not users:  # the end itself
        return (value.grad, True) if done else (None, False)
    had = {id(other) for other in done}
    arrived = [user.grad * user.slopes[i] for user, i in users if id(user) in had]
    return (sum(arrived), len(arrived) == len(users)) if arrived else (None, False)


def _draw_box(
    axes: Any, place: Place, gradient: float | None, complete: bool, scale: float, marked: bool = False
) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    value = place.value
    assert value is not None
    left, low = place.x - WIDTH / 2, place.y - HEIGHT / 2
    size = FONT * scale
    frame = FancyBboxPatch(
        (left, low), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=LEAF if not value.parents else RESULT,
        edgecolor=FLOW if marked else "#5f5f5f", linewidth=(2.2 if marked else 0.9) * scale, zorder=3,
    )  # fmt: skip
    axes.add_patch(frame)
    colour = "white" if gradient is None else (ARRIVED if complete else PARTLY)
    half = Rectangle((left, low), WIDTH, HEIGHT / 2, facecolor=colour, edgecolor="none", zorder=3.1)
    axes.add_patch(half)
    half.set_clip_path(frame)
    axes.plot([left, left + WIDTH], [place.y] * 2, color="#5f5f5f", linewidth=0.6 * scale, zorder=3.2)
    outline = FancyBboxPatch(
        (left, low), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.1", facecolor="none",
        edgecolor=FLOW if marked else "#5f5f5f", linewidth=(2.2 if marked else 0.9) * scale, zorder=3.3,
    )  # fmt: skip
    axes.add_patch(outline)

    upper, lower = place.y + HEIGHT / 4, place.y - HEIGHT / 4
    write = {"va": "center_baseline", "fontsize": size, "color": INK, "zorder": 4}
    axes.text(left + 0.09, upper, value.label, ha="left", weight="bold", **write)
    axes.text(left + WIDTH - 0.09, upper, number(value.data), ha="right", **write)
    text = "?" if gradient is None else number(gradient)
    write["color"] = FAINT if gradient is None else INK
    axes.text(left + WIDTH - 0.09, lower, text, ha="right", **write)
    write["color"] = FAINT
    axes.text(
        left + 0.09,
        lower,
        "grad" if gradient is None or complete else "so far",
        ha="left",
        **{**write, "fontsize": 0.8 * size},
    )


def _draw_edge(
    axes: Any, way: list[Place], bend: float, slope: float | None, scale: float, flows: bool, faint: bool
) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points = [(place.x, place.y) for place in way]
    points[0] = (points[0][0] + WIDTH / 2, points[0][1])
    points[-1] = (points[-1][0] - WIDTH / 2, points[-1][1] + _port(way))
    lift = 0.62 * bend
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0 + lift), (middle, y1 + lift), (x1, y1)]
        codes += [Path.CURVE4] * 3
    colour = FLOW if flows else EDGE
    if flows:
        vertices = vertices[::-1]
    arrow = FancyArrowPatch(
        path=Path(vertices, codes), arrowstyle="-|>", mutation_scale=11 * scale, color=colour,
        linewidth=(2.2 if flows else 1.2) * scale, shrinkA=0, shrinkB=0, zorder=2,
    )  # fmt: skip
    axes.add_patch(arrow)
    if slope is not None:
        (x0, y0), (x1, y1) = points[0], points[1]
        axes.text(
            (x0 + x1) / 2, (y0 + y1) / 2 + 0.75 * lift, "× " + number(slope), ha="center", va="center_baseline",
            fontsize=0.82 * FONT * scale, color=FLOW if flows else (FAINT if faint else "#31688e"), zorder=2.5,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"},
        )  # fmt: skip


def _port(way: list[Place]) -> float:
    """Return where an edge ends on its box's left side, from the centre: edges from above end above."""
    before = sorted({id(place): place for place in way[-1].left}.values(), key=lambda place: place.y)
    return 0.16 * (before.index(way[-2]) - (len(before) - 1) / 2)


def number(x: float) -> str:
    """Return a number in a few characters, with a real minus sign."""
    size = abs(x)
    if size != 0 and (size < 0.005 or size >= 10_000):
        text = f"{x:.0e}".replace("e-0", "e-").replace("e+0", "e")
    else:
        text = f"{x:.0f}" if size >= 100 else f"{x:.2f}"
    return text.replace("-", "−")
