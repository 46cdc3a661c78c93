"""A key-value cache with room reserved for the completion.

transformers' dynamic cache concatenates, and so copies everything it holds at every token; the static one attends over
room that is still empty, which only pays where shapes must not change. The one here writes into a reserved buffer and
hands out the filled part.
"""

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, StaticLayer


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed for mypy
    """One layer's keys and values, `[batch, heads, tokens, head_dim]`, of which the first `filled` are valid."""

    def __init__(self, layer: DynamicLayer, *, room: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self.filled: int = layer.keys.shape[-2]
        self.key_buffer = _with_room(layer.keys, room=room)
        self.value_buffer = _with_room(layer.values, room=room)
        self._expose()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        start, self.filled = self.filled, self.filled + key_states.shape[-2]
        self.key_buffer[:, :, start : self.filled] = key_states
        self.value_buffer[:, :, start : self.filled] = value_states
        return self._expose()

    def batch_select_indices(self, indices: Tensor) -> None:
        self.key_buffer = self.key_buffer[indices]
        self.value_buffer = self.value_buffer[indices]
        self._expose()

    def _expose(self) -> tuple[Tensor, Tensor]:
        self.keys = self.key_buffer[:, :, : self.filled]
        self.values = self.value_buffer[:, :, : self.filled]
        return self.keys, self.values


def _with_room(states: Tensor, *, room: int) -> Tensor:
    batch, heads, tokens, size = states.shape
    buffer = states.new_empty(batch, heads, tokens + room, size)
    buffer[:, :, :tokens] = states
    return buffer


def reserve(cache: DynamicCache, *, room: int) -> None:
    """Give every full-attention layer room for `room` more tokens; other kinds of layers stay as they are."""
    cache.layers = [RoomyLayer(layer, room=room) if type(layer) is DynamicLayer else layer for layer in cache.layers]


def keep_rows(cache: DynamicCache, *, rows: Tensor) -> None:
    """Drop all batch rows but these."""
    with torch.no_grad():
        cache.batch_select_indices(rows)


def can_be_joined(cache: DynamicCache) -> bool:
    """Whether rows of another cache may stand beside its own, and columns be cut: every layer keeps all it has read."""
    return all(type(layer) in (DynamicLayer, RoomyLayer) and layer.is_initialized for layer in cache.layers)


def make_room(cache: DynamicCache, *, room: int) -> None:
    """Give every full-attention layer room for `room` more tokens, whatever it had left."""
    cache.layers = [
        RoomyLayer(layer, room=room) if type(layer) in (DynamicLayer, RoomyLayer) else layer for layer in cache.layers
    ]


def join(cache: DynamicCache, other: DynamicCache) -> None:
    """Put the rows of `other` under those of `cache`; the shorter of the two is padded on the left. No room is left."""
    width = max(cache.get_seq_length(), other.get_seq_length())
    cache.layers = [
        _full(
            torch.cat([_from_left(layer.keys, width=width) for layer in both]),
            torch.cat([_from_left(layer.values, width=width) for layer in both]),
        )
        for both in zip(cache.layers, other.layers, strict=True)
    ]


def cut_left(cache: DynamicCache, *, columns: int) -> None:
    """Forget what stands in the first columns. No room is left."""
    cache.layers = [
        _full(layer.keys[:, :, columns:].clone(), layer.values[:, :, columns:].clone()) for layer in cache.layers
    ]


def _full(keys: Tensor, values: Tensor) -> DynamicLayer:
    layer = DynamicLayer()
    layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
    layer.keys, layer.values = keys, values
    return layer


def _from_left(states: Tensor, *, width: int) -> Tensor:
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))


def can_be_static(cache: DynamicCache) -> bool:
    """Whether every layer attends to everything before it."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def make_static(cache: DynamicCache, *, width: int, copies: int) -> None:
    """Turn the layers into static ones of `width` tokens, each row repeated `copies` times."""
    cache.layers = [_static(layer, width=width, copies=copies) for layer in cache.layers]


def _static(layer: DynamicLayer, *, width: int, copies: int) -> StaticLayer:
    keys, values = (states.repeat_interleave(copies, 0) for states in (layer.keys, layer.values))
    static = StaticLayer(max_cache_len=width)
    static.update(keys, values)
    return static
