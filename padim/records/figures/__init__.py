"""Figures of inspections on record: pure functions on arrays, each with its source and what it rests on."""
