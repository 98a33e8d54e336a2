"""From a distance grid to a decision: level map, regions, threshold and its false-reject rate."""
