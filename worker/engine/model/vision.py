"""Image inputs of a vision-language model: preprocessing, cached features and positions.

The vision tower is frozen (`policy_loading.py` adapts only the language model), so an image's features are valid for
every adapter and step. They are computed once and cached.

Text and images share three-axis positions (time, height, width) as in Qwen2-VL, arXiv 2409.12191. They are computed
here by the model's own `get_rope_index` and passed to it, so that no forward pass depends on an earlier one.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from worker.engine.model.images import decode_image

CACHE_BYTES = 2 * 1024**3
"""Limit of the cache of preprocessed images, and of the cache of their features."""


@dataclass(frozen=True, slots=True, eq=False)
class RowImages:
    """The images of a row, one shared object in all contexts that contain them."""

    row: int
    digest: str
    encoded: tuple[bytes, ...]
    """Encoded files, such as PNG."""
    grids_N3: Tensor
    """Patches of each image in time, height and width."""
    replacements: tuple[str, ...]
    """Each image's placeholder tokens, as text."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageSpans:
    """The images in a context, and the positions of its tokens."""

    images: RowImages
    positions_3L: Tensor
    """Time, height and width of each token, int32."""
    shift: int
    """Position after the context minus its number of tokens: 0 or below."""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """Output of the vision tower, with the field names that the models expect."""

    pooler_output: tuple[Tensor, ...]
    """Embeddings of each image, `[tokens, hidden]`."""
    deepstack_features: list[tuple[Tensor, ...]]
    """The same from earlier layers of the tower (Qwen3-VL), added to the first layers of the language model."""


Value = TypeVar("Value", Mapping[str, Tensor], ImageFeatures)


@dataclass(slots=True)
class FeatureCache(Generic[Value]):
    """Least-recently-used cache of tensors, bounded by bytes."""

    max_bytes: int
    entries: OrderedDict[str, tuple[Value, int]] = field(default_factory=OrderedDict)
    num_bytes: int = 0

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """Return the cached value, or compute it with `make`."""
        if key in self.entries:
            self.entries.move_to_end(key)
            return self.entries[key][0]
        value = make()
        size = _num_bytes(value)
        self.entries[key] = (value, size)
        self.num_bytes += size
        while self.num_bytes > self.max_bytes and len(self.entries) > 1:
            self.num_bytes -= self.entries.popitem(last=False)[1][1]
        return value


@dataclass(frozen=True, slots=True, eq=False)
class Vision:
    """Image input of one model."""

    processor: Any
    """Processor of the model family."""
    body: Any
    """The model without its head, with `get_rope_index` and `get_image_features`."""
    image_token_id: int
    row_images: dict[str, RowImages] = field(default_factory=dict)
    """By digest of the images' bytes."""
    processed: FeatureCache[Mapping[str, Tensor]] = field(default_factory=lambda: FeatureCache(CACHE_BYTES))
    features: FeatureCache[ImageFeatures] = field(default_factory=lambda: FeatureCache(CACHE_BYTES))

    @classmethod
    def of(cls, base: Any, processor: Any) -> "Vision":
        """Build from a loaded model and its processor."""
        return cls(processor, base.model, base.config.image_token_id)

    def prepares_like(self, processor: Any) -> bool:
        """Check whether another model's processor prepares images in the same way."""
        own, other = self.processor.image_processor.to_dict(), processor.image_processor.to_dict()
        return bool(own == other and self.processor.image_token == processor.image_token)

    def is_marked(self, text: str) -> bool:
        """Check whether a text contains the image token."""
        return str(self.processor.image_token) in text

    def read(self, rendered: str, *, images: Sequence[bytes], row: int) -> tuple[tuple[int, ...], ImageSpans | None]:
        """Tokenize a rendered conversation. Returns its ids and image spans (None without images).

        ValueError naming the row where the conversation does not have one image token per image (such as when its text
        contains the token), or where an image cannot be read.
        """
        between = rendered.split(self.processor.image_token)
        if len(between) - 1 != len(images):
            raise ValueError(
                f"row {row}: the prompt has {len(images)} images but {len(between) - 1} image tokens: its text must "
                f"not contain the model's image token {self.processor.image_token}"
            )
        row_images = self._row_images(tuple(images), row=row) if images else None
        replacements = row_images.replacements if row_images else ()
        text = between[0] + "".join(new + after for new, after in zip(replacements, between[1:], strict=True))
        ids = self.processor.tokenizer.encode(text, add_special_tokens=False)
        return tuple(ids), None if row_images is None else self._image_spans(ids, row_images, row=row)

    def _row_images(self, encoded: tuple[bytes, ...], *, row: int) -> RowImages:
        digest = _digest(encoded)
        if digest not in self.row_images:
            tensors = self.processed.get(digest, partial(self._process, encoded, row=row))
            replacements = tuple(
                str(self.processor.replace_image_token(tensors, image_idx=index)) for index in range(len(encoded))
            )
            self.row_images[digest] = RowImages(row, digest, encoded, tensors["image_grid_thw"], replacements)
        return self.row_images[digest]

    def _process(self, encoded: Sequence[bytes], *, row: int) -> Mapping[str, Tensor]:
        """Preprocess images to `pixel_values` `[patches, values]` and `image_grid_thw` `[N, 3]`."""
        decoded = [decode_image(image, row=row) for image in encoded]
        try:
            return dict(self.processor.image_processor(decoded, return_tensors="pt"))
        except ValueError as error:  # such as an image too narrow for the processor
            raise ValueError(f"row {row}: the model cannot process an image: {error}") from error

    def _image_spans(self, ids: Sequence[int], images: RowImages, *, row: int) -> ImageSpans:
        ids_1L = torch.tensor([ids])
        expected = int(images.grids_N3.prod(1).sum()) // int(self.processor.image_processor.merge_size) ** 2
        if (found := int((ids_1L == self.image_token_id).sum())) != expected:
            raise ValueError(f"row {row}: the prompt has {found} image tokens, but the images need {expected}")
        positions_31L, shift_11 = self.body.get_rope_index(
            ids_1L, mm_token_type_ids=(ids_1L == self.image_token_id).int(), image_grid_thw=images.grids_N3
        )
        return ImageSpans(images, positions_31L[:, 0].int(), int(shift_11))

    def as_input(self, ids: Tensor, *, pad_id: int) -> Tensor:
        """Replace sampled image tokens by padding: an image token in a completion has no image."""
        return ids.masked_fill(ids == self.image_token_id, pad_id)

    def inputs(self, spans: Sequence[ImageSpans | None], *, starts: Sequence[int], width: int) -> dict[str, Any]:
        """Return the model inputs that accompany `[B, width]` ids whose contexts begin at the columns `starts`.

        Empty where no context has an image: the model's own positions are right then.
        """
        if not any(spans):
            return {}
        device = self.body.device
        positions_3BW = torch.zeros(3, len(spans), width, dtype=torch.long)
        for b, (image_spans, start) in enumerate(zip(spans, starts, strict=True)):
            length = 0
            if image_spans is not None:
                length = image_spans.positions_3L.shape[1]
                positions_3BW[:, b, start : start + length] = image_spans.positions_3L
            after = torch.arange(length, width - start) + (0 if image_spans is None else image_spans.shift)
            positions_3BW[:, b, start + length :] = after
        all_images = [image_spans.images for image_spans in spans if image_spans is not None]
        features = [self.features.get(images.digest, partial(self._encode, images)) for images in all_images]
        layers = zip(*(each.deepstack_features for each in features), strict=True)
        joined = ImageFeatures(
            tuple(part for each in features for part in each.pooler_output), [sum(layer, ()) for layer in layers]
        )
        return {"position_ids": positions_3BW.to(device), "mm_encoder_outputs": {"image": joined}}

    def _encode(self, images: RowImages) -> ImageFeatures:
        """Run the vision tower on a row's images, without gradient."""
        tensors = self.processed.get(images.digest, partial(self._process, images.encoded, row=images.row))
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
    for image in encoded:
        digest.update(len(image).to_bytes(8, "big") + image)
    return digest.hexdigest()


def _num_bytes(value: Mapping[str, Tensor] | ImageFeatures) -> int:
    if isinstance(value, ImageFeatures):
        tensors = [*value.pooler_output, *(part for layer in value.deepstack_features for part in layer)]
    else:
        tensors = list(value.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
