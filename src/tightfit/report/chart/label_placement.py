"""Placement on a chart: overlapping marks are moved apart, and labels are placed where they cover nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LINE_HEIGHT = 13.0
CHARACTER_WIDTH = 6.6  # of a 12 px system font, on average
_FAR = 6.0

Line = tuple[float, float, float, float]


class Box(NamedTuple):
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Return the area that two rectangles share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def outside(self, room: Box) -> float:
        """Return the area of this rectangle that lies outside of another."""
        return (self.right - self.left) * (self.bottom - self.top) - self.overlap(room)


class ChartLabel(NamedTuple):
    """A label: x, baseline y, ``text-anchor``, rectangle, and a line to its circle when it is far away."""

    x: float
    y: float
    anchor: str
    box: Box
    leader: Line | None


def dodge(places: Sequence[float], gap: float, limit: float) -> list[float]:
    """Return ascending positions moved as little as possible until they are ``gap`` apart.

    No position is moved across the limit, because its side is a fact. The least squared movement is computed
    by pooling adjacent violators (Barlow et al. 1972, Statistical Inference under Order Restrictions).

    Args:
        places: the positions, ascending.
        gap: the least distance.
        limit: the position of the limit.

    Example:
        >>> dodge([0.0, 1.0, 50.0], 10.0, 1000.0), dodge([5.0, 5.0], 10.0, 6.0)
        ([-4.5, 5.5, 50.0], [-5.0, 5.0])
    """
    inside = [p for p in places if p <= limit]
    beyond = [p for p in places if p > limit]
    left = _apart(inside, gap)
    for i in reversed(range(len(left))):
        nearest = max(inside[-1], limit - gap / 2) if i == len(left) - 1 else left[i + 1] - gap
        left[i] = min(left[i], nearest)
    right = _apart(beyond, gap)
    for i in range(len(right)):
        nearest = min(beyond[0], limit + gap / 2) if i == 0 else right[i - 1] + gap
        right[i] = max(right[i], nearest)
    return left + right


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """The nearest positions that are ``gap`` apart: the isotonic regression of ``place - i · gap``."""
    pools: list[tuple[float, int]] = []
    for i, place_wanted in enumerate(places):
        mean, count = place_wanted - i * gap, 1
        while pools and pools[-1][0] > mean:
            before, members = pools.pop()
            mean, count = (mean * count + before * members) / (count + members), count + members
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [mean + i * gap for i, mean in enumerate(flat)]


def place_label(
    text: str, middle: tuple[float, float], radius: float, *, taken: Sequence[Box], room: Box
) -> ChartLabel:
    """Return the place of a label beside a circle.

    Positions are tried from near to far; when each covers something, the one that covers least is used.

    Args:
        text: the text of the label.
        middle: middle of the label's circle.
        radius: radius of the circle.
        taken: rectangles that should not be covered.
        room: the rectangle that labels may be placed in.
    """
    width = CHARACTER_WIDTH * len(text)
    found: list[tuple[float, ChartLabel]] = []
    for distance, dx, dy, anchor in _places(radius):
        x, y = middle[0] + dx, middle[1] + dy
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        box = Box(left, y - LINE_HEIGHT + 3, left + width, y + 3)
        covered = sum(box.overlap(other) for other in taken) + 10 * box.outside(room)
        leader = (middle[0], middle[1], x, y - 4) if distance > _FAR else None
        found.append((covered, ChartLabel(x, y, anchor, box, leader)))
        if covered == 0:
            break
    return min(found, key=lambda pair: pair[0])[1]


def _places(radius: float) -> list[tuple[float, float, float, str]]:
    """Distances and offsets from the middle of a circle, near ones first."""
    found: list[tuple[float, float, float, str]] = []
    for far in (0.0, 8.0, 20.0, 34.0, 50.0, 68.0):
        reach = radius + 5 + far
        found += [(far, reach, 4.0, "start"), (far, -reach, 4.0, "end")]
        found += [(far, 0.0, -reach, "middle"), (far, 0.0, reach + 9, "middle")]
        for dy in (-reach * 0.8, reach * 0.8 + 6):
            found += [(far, reach * 0.8, dy, "start"), (far, -reach * 0.8, dy, "end")]
    return found
