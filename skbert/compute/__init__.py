"""Where and how numbers are computed, in training and out of it."""

from skbert.compute._random_streams import TorchStream, isolated

__all__ = ["TorchStream", "isolated"]
