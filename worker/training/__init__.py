"""What a trainer adds to the engine: preparation, observers, trackers, launch of several processes, manifest."""
