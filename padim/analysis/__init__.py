"""Analyses of a fitted model: detection quality, reliability of the threshold, alignment of parts, cost."""
