"""Decisions from distance grids: level map, regions, threshold and false-reject rate."""
