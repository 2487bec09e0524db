"""Places for labels beside the marks of a chart: the first of some places that covers nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LINE_HEIGHT = 13.0
CHARACTER_WIDTH = 6.3  # of a 12 px system font, on average


class Box(NamedTuple):
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Gives the area that two rectangles share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def outside(self, room: Box) -> float:
        """Gives the area of this rectangle that lies outside of another."""
        return (self.right - self.left) * (self.bottom - self.top) - self.overlap(room)


def place(
    text: str, middle: tuple[float, float], radius: float, taken: Sequence[Box], room: Box
) -> tuple[float, float, str, Box]:
    """Gives x, baseline y and ``text-anchor`` of a label, and its rectangle.

    Places are tried from near to far, right before left before above before below; when every one covers
    something, the one that covers least is taken.

    Args:
        middle, radius: of the circle that the label belongs to.
        taken: rectangles that should stay free. room: where labels may stand.
    """
    width = CHARACTER_WIDTH * len(text)
    best: tuple[float, float, float, str, Box] | None = None
    for dx, dy, anchor in _places(radius):
        x, y = middle[0] + dx, middle[1] + dy
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        box = Box(left, y - LINE_HEIGHT + 3, left + width, y + 3)
        covered = sum(box.overlap(other) for other in taken) + 10 * box.outside(room)
        if best is None or covered < best[0]:
            best = (covered, x, y, anchor, box)
        if covered == 0:
            break
    assert best is not None  # noqa: S101 - there is always a first place
    return best[1:]


def _places(radius: float) -> list[tuple[float, float, str]]:
    """Offsets from the middle of a circle, near ones first."""
    found = []
    for far in (0.0, 8.0, 20.0, 34.0):
        reach = radius + 5 + far
        found += [(reach, 4.0, "start"), (-reach, 4.0, "end")]
        found += [(0.0, -reach, "middle"), (0.0, reach + 9, "middle")]
        for dy in (-reach * 0.8, reach * 0.8 + 6):
            found += [(reach * 0.8, dy, "start"), (-reach * 0.8, dy, "end")]
    return found
