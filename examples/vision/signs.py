"""Signs on crates: coloured shapes, what each one demands, and pictures of two of them.

Every sign has one *meaning* and one *decoy*, the meaning that the outdated wall chart gave it. A question shows two
signs side by side and asks for both meanings. This module owns the signs, the pictures and the wording; it trains
nothing.
"""

import base64
import io
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw

COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "red": (205, 40, 45),
    "blue": (40, 70, 200),
    "green": (30, 140, 60),
    "black": (25, 25, 25),
}
SHAPES: Final = ("circle", "square", "triangle", "diamond", "cross", "ring")
MEANINGS: Final = [
    "fragile",
    "upright",
    "frozen",
    "flammable",
    "corrosive",
    "stackable",
    "returned",
    "urgent",
    "heavy",
    "sterile",
    "magnetic",
    "hollow",
    "pressurised",
    "perishable",
    "insured",
    "sealed",
    "oversized",
    "sampled",
    "quarantined",
    "recycled",
    "liquid",
    "sharp",
    "radiant",
    "inspected",
]
CELL: Final = 32
"""Side of the square that a sign is drawn into, in pixels."""
QUESTION: Final = "What do the two signs demand, from left to right?"


@dataclass(frozen=True, slots=True)
class Sign:
    """A coloured shape."""

    colour: str
    shape: str

    @property
    def name(self) -> str:
        """As it is said."""
        return f"{self.colour} {self.shape}"


SIGNS: Final = tuple(Sign(colour, shape) for colour in COLOURS for shape in SHAPES)


@dataclass(frozen=True, slots=True)
class Chart:
    """What every sign means, and what the outdated chart said instead."""

    meanings: Mapping[Sign, str]
    decoys: Mapping[Sign, str]

    def reply(self, signs: Sequence[Sign], *, said: Mapping[Sign, str]) -> str:
        """The reply that gives each sign the meaning that is said of it."""
        lines = [f"A {sign.name} means {said[sign]}." for sign in signs]
        return "\n".join([*lines, f"Answer: {' '.join(said[sign] for sign in signs)}"])

    def solution(self, signs: Sequence[Sign]) -> str:
        """The right reply."""
        return self.reply(signs, said=self.meanings)

    def answer(self, signs: Sequence[Sign]) -> str:
        """What is graded."""
        return " ".join(self.meanings[sign] for sign in signs)

    def outdated(self, signs: Sequence[Sign], *, rng: random.Random) -> str:
        """A reply in which every sign has its right meaning or its decoy, with equal chance."""
        said = {sign: rng.choice((self.meanings, self.decoys))[sign] for sign in signs}
        return self.reply(signs, said=said)


def write_chart(rng: random.Random) -> Chart:
    """Give every sign a meaning of its own, and a decoy that is another sign's meaning."""
    meanings = rng.sample(MEANINGS, len(SIGNS))
    shift = rng.randrange(1, len(SIGNS))
    return Chart(
        dict(zip(SIGNS, meanings, strict=True)),
        dict(zip(SIGNS, meanings[shift:] + meanings[:shift], strict=True)),
    )


def split_pairs(rng: random.Random, *, train: int, held_out: int) -> tuple[list[tuple[Sign, ...]], ...]:
    """Ordered pairs of different signs to train on, others held out, and all that are not held out."""
    pairs = list(itertools.permutations(SIGNS, 2))
    rng.shuffle(pairs)
    return pairs[held_out : held_out + train], pairs[:held_out], pairs[held_out:]


def draw(signs: Sequence[Sign], *, rng: random.Random) -> Image.Image:
    """The signs side by side, on a background and with places, sizes and shades that differ each time."""
    tint = [rng.randrange(225, 256) for _ in range(3)]
    picture = Image.new("RGB", (CELL * len(signs), CELL), (tint[0], tint[1], tint[2]))
    canvas = ImageDraw.Draw(picture)
    for index, sign in enumerate(signs):
        radius = rng.randrange(9, 13)
        x = CELL * index + CELL // 2 + rng.randrange(-3, 4)
        y = CELL // 2 + rng.randrange(-3, 4)
        red, green, blue = (min(255, max(0, value + rng.randrange(-18, 19))) for value in COLOURS[sign.colour])
        _draw_shape(canvas, sign.shape, x=x, y=y, radius=radius, fill=(red, green, blue))
    return picture


def _draw_shape(
    canvas: ImageDraw.ImageDraw, shape: str, *, x: int, y: int, radius: int, fill: tuple[int, int, int]
) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        canvas.ellipse(box, fill=fill)
    elif shape == "square":
        canvas.rectangle(box, fill=fill)
    elif shape == "triangle":
        canvas.polygon([(x, y - radius), (x + radius, y + radius), (x - radius, y + radius)], fill=fill)
    elif shape == "diamond":
        canvas.polygon([(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)], fill=fill)
    elif shape == "cross":
        third = radius // 3
        canvas.rectangle((x - third, y - radius, x + third, y + radius), fill=fill)
        canvas.rectangle((x - radius, y - third, x + radius, y + third), fill=fill)
    else:
        canvas.ellipse(box, outline=fill, width=max(3, radius // 3))


def blank(picture: Image.Image) -> Image.Image:
    """A picture of the same size with nothing on it."""
    return Image.new("RGB", picture.size, (240, 240, 240))


def data_url(picture: Image.Image) -> str:
    """The picture as a PNG in a URL."""
    encoded = io.BytesIO()
    picture.save(encoded, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def user_message(url: str) -> dict[str, object]:
    """The question beside its picture, in the form of OpenAI's chat."""
    picture = {"type": "image_url", "image_url": {"url": url}}
    return {"role": "user", "content": [picture, {"type": "text", "text": QUESTION}]}
