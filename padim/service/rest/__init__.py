"""The REST service: ``padim serve``."""
