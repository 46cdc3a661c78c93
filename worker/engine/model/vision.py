"""Owns how a vision-language model sees: pictures to tensors, once a row, and what the model is given for them.

The tower that reads pixels is frozen (`policy.py` puts adapters on the language model alone), so what it makes of a
picture holds for every adapter and every step. It is computed once and kept while there is room.

Words and pictures share positions of three axes (time, height, width) as in Qwen2-VL, arXiv 2409.12191. They are
computed here by the model's own `get_rope_index` and given to it, so that no forward pass depends on an earlier one.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from worker.engine.model.images import decode_picture

SHELF_BYTES = 2 * 1024**3
"""Most memory for processed pictures, and the same again for what the tower made of them."""


@dataclass(frozen=True, slots=True, eq=False)
class RowImages:
    """The pictures of a row, the same object in everything that shows them."""

    row: int
    digest: str
    encoded: tuple[bytes, ...]
    """Encoded files, such as PNG."""
    grids_N3: Tensor
    """Patches of each picture in time, height and width."""
    replacements: tuple[str, ...]
    """The tokens that stand for each picture, as text."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageSpans:
    """The pictures in a context, and the positions that its tokens have because of them."""

    pictures: RowImages
    positions_3L: Tensor
    """Time, height and width of each token, int32."""
    shift: int
    """How far the position after the context lies from its number of tokens: 0 or below."""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the tower makes of pictures, under the names that the models know."""

    pooler_output: tuple[Tensor, ...]
    """A picture's tokens each, `[tokens, hidden]`."""
    deepstack_features: list[tuple[Tensor, ...]]
    """The same from earlier layers of the tower (Qwen3-VL), to be added to the first layers of the language model."""


Kept = TypeVar("Kept", Mapping[str, Tensor], ImageFeatures)


@dataclass(slots=True)
class FeatureCache(Generic[Kept]):
    """Tensors by name while there is room; what was used longest ago goes first."""

    max_bytes: int
    kept: OrderedDict[str, tuple[Kept, int]] = field(default_factory=OrderedDict)
    num_bytes: int = 0

    def get(self, key: str, make: Callable[[], Kept]) -> Kept:
        """What is kept under the key, or what `make` makes now."""
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key][0]
        value = make()
        size = _num_bytes(value)
        self.kept[key] = (value, size)
        self.num_bytes += size
        while self.num_bytes > self.max_bytes and len(self.kept) > 1:
            self.num_bytes -= self.kept.popitem(last=False)[1][1]
        return value


@dataclass(frozen=True, slots=True, eq=False)
class Vision:
    """The eyes of one model."""

    processor: Any
    """The family's processor."""
    body: Any
    """The model without its head: it knows `get_rope_index` and `get_image_features`."""
    image_token_id: int
    known: dict[str, RowImages] = field(default_factory=dict)
    """By the digest of their bytes."""
    processed: FeatureCache[Mapping[str, Tensor]] = field(default_factory=lambda: FeatureCache(SHELF_BYTES))
    seen: FeatureCache[ImageFeatures] = field(default_factory=lambda: FeatureCache(SHELF_BYTES))

    @classmethod
    def of(cls, base: Any, processor: Any) -> "Vision":
        """The eyes of a model that is loaded, with its processor."""
        return cls(processor, base.model, base.config.image_token_id)

    def prepares_like(self, processor: Any) -> bool:
        """Whether another model's processor makes the same tensors and tokens of a picture."""
        mine, other = self.processor.image_processor.to_dict(), processor.image_processor.to_dict()
        return bool(mine == other and self.processor.image_token == processor.image_token)

    def is_marked(self, text: str) -> bool:
        """Whether a text holds the token that stands for images."""
        return str(self.processor.image_token) in text

    def read(self, rendered: str, *, pictures: Sequence[bytes], row: int) -> tuple[tuple[int, ...], ImageSpans | None]:
        """Token ids of a rendered conversation, and its sight.

        ValueError naming the row where the conversation has not one place for each picture (as when its words spell
        the image token), or where a picture cannot be read.
        """
        between = rendered.split(self.processor.image_token)
        if len(between) - 1 != len(pictures):
            raise ValueError(
                f"row {row}: the prompt shows {len(pictures)} images in {len(between) - 1} places; its words must not "
                f"hold the model's own {self.processor.image_token}"
            )
        shown = self._look(tuple(pictures), row=row) if pictures else None
        replacements = shown.replacements if shown else ()
        text = between[0] + "".join(new + after for new, after in zip(replacements, between[1:], strict=True))
        ids = self.processor.tokenizer.encode(text, add_special_tokens=False)
        return tuple(ids), None if shown is None else self._sight(ids, shown, row=row)

    def _look(self, encoded: tuple[bytes, ...], *, row: int) -> RowImages:
        digest = _digest(encoded)
        if digest not in self.known:
            tensors = self.processed.get(digest, partial(self._process, encoded, row=row))
            replacements = tuple(
                str(self.processor.replace_image_token(tensors, image_idx=index)) for index in range(len(encoded))
            )
            self.known[digest] = RowImages(row, digest, encoded, tensors["image_grid_thw"], replacements)
        return self.known[digest]

    def _process(self, encoded: Sequence[bytes], *, row: int) -> Mapping[str, Tensor]:
        """What the processor makes of the pictures: `pixel_values` [patches, values] and `image_grid_thw` [N, 3]."""
        opened = [decode_picture(picture, row=row) for picture in encoded]
        try:
            return dict(self.processor.image_processor(opened, return_tensors="pt"))
        except ValueError as error:  # such as a picture too narrow for the processor
            raise ValueError(f"row {row}: an image does not fit the model: {error}") from error

    def _sight(self, ids: Sequence[int], pictures: RowImages, *, row: int) -> ImageSpans:
        ids_1L = torch.tensor([ids])
        expected = int(pictures.grids_N3.prod(1).sum()) // int(self.processor.image_processor.merge_size) ** 2
        if (found := int((ids_1L == self.image_token_id).sum())) != expected:
            raise ValueError(f"row {row}: {found} tokens stand for images that the model makes {expected} of")
        positions_31L, shift_11 = self.body.get_rope_index(
            ids_1L, mm_token_type_ids=(ids_1L == self.image_token_id).int(), image_grid_thw=pictures.grids_N3
        )
        return ImageSpans(pictures, positions_31L[:, 0].int(), int(shift_11))

    def as_input(self, ids: Tensor, *, pad_id: int) -> Tensor:
        """Sampled ids as the model is to read them: an image token that it wrote itself shows no image."""
        return ids.masked_fill(ids == self.image_token_id, pad_id)

    def inputs(self, sights: Sequence[ImageSpans | None], *, starts: Sequence[int], width: int) -> dict[str, Any]:
        """What the model is given beside `[B, width]` ids whose contexts begin at the columns `starts`.

        Empty where nobody shows an image: the model's own positions are right then.
        """
        if not any(sights):
            return {}
        device = self.body.device
        positions_3BW = torch.zeros(3, len(sights), width, dtype=torch.long)
        for b, (sight, start) in enumerate(zip(sights, starts, strict=True)):
            length = 0
            if sight is not None:
                length = sight.positions_3L.shape[1]
                positions_3BW[:, b, start : start + length] = sight.positions_3L
            after = torch.arange(length, width - start) + (0 if sight is None else sight.shift)
            positions_3BW[:, b, start + length :] = after
        shown = [sight.pictures for sight in sights if sight is not None]
        seen = [self.seen.get(pictures.digest, partial(self._see, pictures)) for pictures in shown]
        layers = zip(*(each.deepstack_features for each in seen), strict=True)
        joined = ImageFeatures(
            tuple(part for each in seen for part in each.pooler_output), [sum(layer, ()) for layer in layers]
        )
        return {"position_ids": positions_3BW.to(device), "mm_encoder_outputs": {"image": joined}}

    def _see(self, pictures: RowImages) -> ImageFeatures:
        """What the tower makes of a row's pictures, without a gradient."""
        tensors = self.processed.get(pictures.digest, partial(self._process, pictures.encoded, row=pictures.row))
        # A tensor made in inference mode could not take part in a later backward pass.
        with torch.inference_mode(False), torch.no_grad():
            output = self.body.get_image_features(
                tensors["pixel_values"].to(self.body.device),
                tensors["image_grid_thw"].to(self.body.device),
                return_dict=True,
            )
        return ImageFeatures(
            tuple(output.pooler_output), [tuple(layer) for layer in output.get("deepstack_features") or ()]
        )


def _digest(encoded: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for picture in encoded:
        digest.update(len(picture).to_bytes(8, "big") + picture)
    return digest.hexdigest()


def _num_bytes(value: Mapping[str, Tensor] | ImageFeatures) -> int:
    if isinstance(value, ImageFeatures):
        tensors = [*value.pooler_output, *(part for layer in value.deepstack_features for part in layer)]
    else:
        tensors = list(value.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
