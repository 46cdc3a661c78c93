"""What a trainer adds to the engine: preparation, trackers, launch of several processes, manifest."""
