"""Around the engine in a trainer: prepare, observe, track, launch, describe in the manifest."""
