"""Benchmarks silence the whole process, which belongs to other tests, too."""

import pytest
from transformers.utils import logging


@pytest.fixture(autouse=True)
def _loud_again():
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    yield
    logging.set_verbosity(level)
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
