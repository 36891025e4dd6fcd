"""Is a variant better, or was it lucky: `StabilityStudy`, and the statistics of runs for any data frame."""

from skbert.stability._comparison import Comparison, compare_pairs
from skbert.stability._correlation import Correlation, correlate_runs
from skbert.stability._draws import make_draw
from skbert.stability._expected_max import chance_all_fail, expected_max
from skbert.stability._frames import forget_failed, read_runs
from skbert.stability._intervals import mean_interval
from skbert.stability._multiple_testing import adjusted_here, correct_pvalues
from skbert.stability._paired_tests import sign_flip_pvalue
from skbert.stability._planning import flips_needed, pairs_needed, t_power, upper_spread
from skbert.stability._study import StabilityStudy
from skbert.stability._summaries import summarize
from skbert.stability._variance import component_intervals, variance_components, with_two_way_terms

__all__ = [
    "Comparison",
    "Correlation",
    "StabilityStudy",
    "adjusted_here",
    "chance_all_fail",
    "compare_pairs",
    "component_intervals",
    "correct_pvalues",
    "correlate_runs",
    "expected_max",
    "flips_needed",
    "forget_failed",
    "make_draw",
    "mean_interval",
    "pairs_needed",
    "read_runs",
    "sign_flip_pvalue",
    "summarize",
    "t_power",
    "upper_spread",
    "variance_components",
    "with_two_way_terms",
]
