"""The policy: loading, LoRA, images, packed batches, sharding, token log-probabilities."""
