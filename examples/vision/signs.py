"""Signs on crates: coloured shapes, their meanings, and images of two of them.

Every sign has one *meaning* and one *decoy*, its meaning on the outdated wall chart. A question shows two signs side by
side and asks for both meanings. This module defines the signs, the images and the texts; it trains nothing.
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
"""Side of the square that a sign is drawn in, in pixels."""
QUESTION: Final = "What do the two signs demand, from left to right?"


@dataclass(frozen=True, slots=True)
class Sign:
    """A coloured shape."""

    colour: str
    shape: str

    @property
    def name(self) -> str:
        """Colour and shape, as in a reply."""
        return f"{self.colour} {self.shape}"


SIGNS: Final = tuple(Sign(colour, shape) for colour in COLOURS for shape in SHAPES)


@dataclass(frozen=True, slots=True)
class Chart:
    """The meaning of every sign, and its decoy on the outdated chart."""

    meanings: Mapping[Sign, str]
    decoys: Mapping[Sign, str]

    def reply(self, signs: Sequence[Sign], *, meanings: Mapping[Sign, str]) -> str:
        """Write the reply that gives each sign this meaning."""
        lines = [f"A {sign.name} means {meanings[sign]}." for sign in signs]
        return "\n".join([*lines, f"Answer: {' '.join(meanings[sign] for sign in signs)}"])

    def solution(self, signs: Sequence[Sign]) -> str:
        """Write the right reply."""
        return self.reply(signs, meanings=self.meanings)

    def answer(self, signs: Sequence[Sign]) -> str:
        """Return the answer that is graded."""
        return " ".join(self.meanings[sign] for sign in signs)

    def outdated(self, signs: Sequence[Sign], *, rng: random.Random) -> str:
        """Write a reply in which every sign has its right meaning or its decoy, with equal probability."""
        meanings = {sign: rng.choice((self.meanings, self.decoys))[sign] for sign in signs}
        return self.reply(signs, meanings=meanings)


def write_chart(rng: random.Random) -> Chart:
    """Assign every sign a unique meaning, and a decoy that is another sign's meaning."""
    meanings = rng.sample(MEANINGS, len(SIGNS))
    shift = rng.randrange(1, len(SIGNS))
    return Chart(
        dict(zip(SIGNS, meanings, strict=True)),
        dict(zip(SIGNS, meanings[shift:] + meanings[:shift], strict=True)),
    )


def split_pairs(rng: random.Random, *, train: int, held_out: int) -> tuple[list[tuple[Sign, ...]], ...]:
    """Return ordered pairs of different signs: to train on, held out, and all that are not held out."""
    pairs = list(itertools.permutations(SIGNS, 2))
    rng.shuffle(pairs)
    return pairs[held_out : held_out + train], pairs[:held_out], pairs[held_out:]


def draw(signs: Sequence[Sign], *, rng: random.Random) -> Image.Image:
    """Draw the signs side by side, with random background, positions, sizes and shades."""
    tint = [rng.randrange(225, 256) for _ in range(3)]
    image = Image.new("RGB", (CELL * len(signs), CELL), (tint[0], tint[1], tint[2]))
    canvas = ImageDraw.Draw(image)
    for index, sign in enumerate(signs):
        radius = rng.randrange(9, 13)
        x = CELL * index + CELL // 2 + rng.randrange(-3, 4)
        y = CELL // 2 + rng.randrange(-3, 4)
        red, green, blue = (min(255, max(0, value + rng.randrange(-18, 19))) for value in COLOURS[sign.colour])
        _draw_shape(canvas, sign.shape, x=x, y=y, radius=radius, fill=(red, green, blue))
    return image


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


def blank(image: Image.Image) -> Image.Image:
    """Create an empty image of the same size."""
    return Image.new("RGB", image.size, (240, 240, 240))


def data_url(image: Image.Image) -> str:
    """Encode the image as a data URL in PNG format."""
    encoded = io.BytesIO()
    image.save(encoded, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def user_message(url: str) -> dict[str, object]:
    """Build the message with image and question, in the form of OpenAI's chat API."""
    image = {"type": "image_url", "image_url": {"url": url}}
    return {"role": "user", "content": [image, {"type": "text", "text": QUESTION}]}
