"""The version of the package, and nothing else, so that no room needs the roof to know it."""

__version__ = "0.1.0.dev0"
