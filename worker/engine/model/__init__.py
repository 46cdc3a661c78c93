"""The policy model: loading, LoRA, images, packed batches, sharding, token log-probabilities."""
