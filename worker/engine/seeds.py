"""All randomness of a run as a function of (seed, step, purpose), so that nothing about it must be stored to resume."""

import hashlib

import numpy as np
import torch


def derive(seed: int, *, step: int, purpose: str) -> int:
    """A number below 2^63 that belongs to this seed, step and purpose alone."""
    digest = hashlib.sha256(f"{seed}/{step}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(seed: int, *, step: int, purpose: str) -> torch.Generator:
    """A generator on the CPU, so that every device draws the same numbers."""
    generator = torch.Generator()
    generator.manual_seed(derive(seed, step=step, purpose=purpose))
    return generator


def numpy_generator(seed: int, *, step: int, purpose: str) -> np.random.Generator:
    """The same for numpy and scipy."""
    return np.random.default_rng(derive(seed, step=step, purpose=purpose))


def batch_indices(step: int, *, seed: int, batch_size: int, num_rows: int) -> list[int]:
    """Indices of the rows that step `step` (from 1) trains on: epochs are shuffled apart and follow each other."""
    orders: dict[int, list[int]] = {}
    indices = []
    for position in range((step - 1) * batch_size, step * batch_size):
        epoch, place = divmod(position, num_rows)
        if epoch not in orders:
            generator = numpy_generator(seed, step=epoch, purpose="data order")
            orders[epoch] = generator.permutation(num_rows).tolist()
        indices.append(orders[epoch][place])
    return indices
