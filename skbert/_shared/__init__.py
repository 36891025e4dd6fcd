"""Helpers that several parts of the package use, but users do not."""

from skbert._shared._as_json import as_list, from_json, to_json
from skbert._shared._checks import (
    check_bool,
    check_callbacks,
    check_choice,
    check_int,
    check_not_a_string,
    check_not_empty,
    check_real,
    check_targets_given,
    check_verbose,
    check_weights,
    is_int,
)
from skbert._shared._optional import fugashi, matplotlib_figure, pandas, tomotopy
from skbert._shared._resampling import count_as_large, permutation_pvalue, permutations_within
from skbert._shared._seeds import derive_seeds
from skbert._shared._tags import reads_texts
from skbert._shared._warn import warn

__all__ = [
    "as_list",
    "check_bool",
    "check_callbacks",
    "check_choice",
    "check_int",
    "check_not_a_string",
    "check_not_empty",
    "check_real",
    "check_targets_given",
    "check_verbose",
    "check_weights",
    "count_as_large",
    "derive_seeds",
    "from_json",
    "fugashi",
    "is_int",
    "matplotlib_figure",
    "pandas",
    "permutation_pvalue",
    "permutations_within",
    "reads_texts",
    "to_json",
    "tomotopy",
    "warn",
]
