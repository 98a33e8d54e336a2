"""The version number, read by both the build and the program."""

__version__ = "0.2.0"
