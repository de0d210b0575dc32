"""Draws stacks as a flame graph: an SVG without scripts, small enough for a repository.

A box is a function, as wide as its share of the samples, on top of the function that called it. Boxes are sorted by
name, so that two pictures can be compared. The colour tells whose time it is: that of a library, or of a part of ours.
Pointing at a box in a browser shows its full name and its time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from bench.stacks import GROUPS, LOOP, OTHER, Frame, Stack, group_of

_WIDTH, _ROW, _MARGIN, _TOP = 1200, 17, 10, 70
_LETTERING = 'font-family="ui-monospace,Menlo,Consolas,monospace" font-size="11"'
_LETTER = 6.75  #: width of a letter of the labels
_LEAST_SHARE = 0.003  #: of all samples; narrower boxes are left out
#: Okabe and Ito's colours, which the colour-blind can tell apart, made light enough for black letters.
_COLOURS = ("#d9d9d9", "#9fd0ee", "#f2b98a", "#e5b6d0", "#7fcfb5", "#efe48a", "#f0c25c", "#b7d58b", "#c9b8e8")
_COLOUR_OF = {**dict(zip(GROUPS, _COLOURS, strict=True)), OTHER: "#f4f4f4"}


@dataclass
class _Box:
    frame: Frame
    samples: int = 0
    callees: dict[Frame, "_Box"] = field(default_factory=dict)

    def add(self, stack: Stack, samples: int) -> None:
        self.samples += samples
        if stack:
            self.callees.setdefault(stack[0], _Box(stack[0])).add(stack[1:], samples)

    def depth(self, least: float) -> int:
        return 1 + max((box.depth(least) for box in self.callees.values() if box.samples >= least), default=0)


def draw(stacks: Mapping[Stack, int], *, title: str, us_per_call: float) -> str:
    """Return the flame graph as SVG; the same stacks give the same bytes.

    Args:
        stacks: How often each stack was seen.
        title: What it shows.
        us_per_call: CPU microseconds of a call, of which every box takes its share.
    """
    root = _Box(Frame("", LOOP))
    for stack, samples in stacks.items():
        root.add(stack, samples)
    least = root.samples * _LEAST_SHARE
    height = _TOP + _ROW * root.depth(least) + _MARGIN
    per_sample = (_WIDTH - 2 * _MARGIN) / root.samples
    placed = list(_place(root, (), x=_MARGIN, y=height - _MARGIN - _ROW, per_sample=per_sample, least=least))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_LETTERING}>',
            f"<title>{escape(title)}</title>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="{_MARGIN}" y="22" font-size="15">{escape(title)}</text>',
            *_legend(),
            '<g stroke="#fff" stroke-width=".6">',
            *(box.rectangle(us_per_call / root.samples) for box in placed),
            "</g>",
            *(box.label for box in placed if box.letters > 2),
            "</svg>\n",
        ]
    )


@dataclass(frozen=True)
class _Placed:
    """A box with its place in the picture."""

    name: str
    function: str
    group: str
    samples: int
    x: float
    y: float
    width: float

    @property
    def letters(self) -> int:
        """How many letters have room in it."""
        return int((self.width - 5) / _LETTER)

    @property
    def label(self) -> str:
        text = next((text for text in (self.name, self.function) if len(text) <= self.letters), None)
        text = text or f"{self.function[: self.letters - 1]}…"
        return f'<text x="{self.x + 3:.1f}" y="{self.y + 12:.0f}">{escape(text)}</text>'

    def rectangle(self, us_per_sample: float) -> str:
        tip = f"{self.name}: {self.samples * us_per_sample:.1f} µs"
        place = f'x="{self.x:.1f}" y="{self.y:.0f}" width="{self.width:.1f}" height="{_ROW}"'
        return f'<rect {place} fill="{_COLOUR_OF[self.group]}"><title>{escape(tip)}</title></rect>'


def _place(box: _Box, callers: Stack, *, x: float, y: float, per_sample: float, least: float) -> Iterator[_Placed]:
    """Yield a box and those on top of it, from left to right in the order of their names."""
    stack = callers if box.frame.name == LOOP else (*callers, box.frame)
    yield _Placed(box.frame.name, box.frame.function, group_of(stack), box.samples, x, y, box.samples * per_sample)
    for callee in sorted(box.callees.values(), key=lambda each: each.frame):
        if callee.samples >= least:
            yield from _place(callee, stack, x=x, y=y - _ROW, per_sample=per_sample, least=least)
        x += callee.samples * per_sample


def _legend() -> list[str]:
    drawn, x = [], float(_MARGIN)
    for group, colour in _COLOUR_OF.items():
        drawn.append(f'<rect x="{x:.0f}" y="36" width="12" height="12" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 17:.0f}" y="46">{escape(group)}</text>')
        x += 17 + len(group) * _LETTER + 18
    return drawn
