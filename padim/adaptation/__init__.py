"""Adaptation of a pretrained network to the product before fitting."""
