"""A key-value cache with memory preallocated for the completion.

transformers' dynamic cache concatenates, copying all its contents at every token; its static cache attends over unused
slots, which pays off only where shapes must not change. This one writes into a preallocated buffer and returns a view
of the filled part.
"""

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, StaticLayer


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed for mypy
    """One layer's keys and values, `[batch, heads, tokens, head_dim]`, of which the first `filled` are valid."""

    def __init__(self, layer: DynamicLayer, *, extra_tokens: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self.filled: int = layer.keys.shape[-2]
        self.key_buffer = _preallocated(layer.keys, extra_tokens=extra_tokens)
        self.value_buffer = _preallocated(layer.values, extra_tokens=extra_tokens)
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


def _preallocated(states: Tensor, *, extra_tokens: int) -> Tensor:
    batch, heads, tokens, size = states.shape
    buffer = states.new_empty(batch, heads, tokens + extra_tokens, size)
    buffer[:, :, :tokens] = states
    return buffer


def reserve(cache: DynamicCache, *, extra_tokens: int) -> None:
    """Preallocate `extra_tokens` in every full-attention layer, preallocated or not; others are left unchanged."""
    cache.layers = [
        PreallocatedLayer(layer, extra_tokens=extra_tokens)
        if type(layer) in (DynamicLayer, PreallocatedLayer)
        else layer
        for layer in cache.layers
    ]


def keep_rows(cache: DynamicCache, *, rows: Tensor) -> None:
    """Keep only these batch rows."""
    with torch.no_grad():
        cache.batch_select_indices(rows)


def supports_concat(cache: DynamicCache) -> bool:
    """Whether rows can be concatenated and columns dropped: every layer keeps the keys and values of all tokens."""
    return all(type(layer) in (DynamicLayer, PreallocatedLayer) and layer.is_initialized for layer in cache.layers)


def concat_rows(cache: DynamicCache, other: DynamicCache) -> None:
    """Append the rows of `other` to `cache`, padding the shorter one on the left. Preallocated memory is dropped."""
    width = max(cache.get_seq_length(), other.get_seq_length())
    cache.layers = [
        _dynamic_layer(
            torch.cat([_pad_left(layer.keys, width=width) for layer in both]),
            torch.cat([_pad_left(layer.values, width=width) for layer in both]),
        )
        for both in zip(cache.layers, other.layers, strict=True)
    ]


def drop_left_columns(cache: DynamicCache, *, columns: int) -> None:
    """Drop the first columns. Preallocated memory is dropped too."""
    cache.layers = [
        _dynamic_layer(layer.keys[:, :, columns:].clone(), layer.values[:, :, columns:].clone())
        for layer in cache.layers
    ]


def _dynamic_layer(keys: Tensor, values: Tensor) -> DynamicLayer:
    layer = DynamicLayer()
    layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
    layer.keys, layer.values = keys, values
    return layer


def _pad_left(states: Tensor, *, width: int) -> Tensor:
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))


def supports_static(cache: DynamicCache) -> bool:
    """Whether every layer attends to all preceding tokens."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def make_static(cache: DynamicCache, *, width: int, copies: int) -> None:
    """Convert the layers to static ones of `width` tokens, each row repeated `copies` times."""
    cache.layers = [_static_layer(layer, width=width, copies=copies) for layer in cache.layers]


def _static_layer(layer: DynamicLayer, *, width: int, copies: int) -> StaticLayer:
    keys, values = (states.repeat_interleave(copies, 0) for states in (layer.keys, layer.values))
    static = StaticLayer(max_cache_len=width)
    static.update(keys, values)
    return static
