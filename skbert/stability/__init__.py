"""Is a variant better, or was it lucky: `StabilityStudy`, and the statistics of runs for any data frame."""

from skbert.stability._comparison import Comparison
from skbert.stability._frames import forget_failed, read_runs
from skbert.stability._study import StabilityStudy
from skbert.stability._summaries import expected_max, summarize

__all__ = ["Comparison", "StabilityStudy", "expected_max", "forget_failed", "read_runs", "summarize"]
