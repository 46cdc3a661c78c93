"""Randomness as a function of (seed, step, purpose), so that a checkpoint needs no generator state."""

import hashlib

import numpy as np
import torch


def derive(seed: int, *, step: int, purpose: str) -> int:
    """Derive a seed below 2^63 from the run's seed, a step and a purpose."""
    digest = hashlib.sha256(f"{seed}/{step}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(seed: int, *, step: int, purpose: str) -> torch.Generator:
    """Return a generator on the CPU, so that the numbers do not depend on the device."""
    generator = torch.Generator()
    generator.manual_seed(derive(seed, step=step, purpose=purpose))
    return generator


def numpy_generator(seed: int, *, step: int, purpose: str) -> np.random.Generator:
    """Return a generator for numpy and scipy."""
    return np.random.default_rng(derive(seed, step=step, purpose=purpose))


def batch_indices(step: int, *, seed: int, batch_size: int, num_rows: int) -> list[int]:
    """Return the row indices of step `step` (from 1): consecutive epochs, each with its own shuffle."""
    orders: dict[int, list[int]] = {}
    indices = []
    for position in range((step - 1) * batch_size, step * batch_size):
        epoch, offset = divmod(position, num_rows)
        if epoch not in orders:
            generator = numpy_generator(seed, step=epoch, purpose="data order")
            orders[epoch] = generator.permutation(num_rows).tolist()
        indices.append(orders[epoch][offset])
    return indices
