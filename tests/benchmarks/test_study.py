"""The share of a study that is neither training nor prediction, from times that are known."""

import pandas as pd

from benchmarks.study import _share_line


def test_share__counts_what_all_processes_do_besides():
    # Two processes for 10 s: 12 s of training, 5 s of prediction, 2 s else in the runs, 1 s outside of them.
    runs = pd.DataFrame({"training": [6.0, 6.0], "prediction": [2.0, 3.0], "seconds": [9.0, 10.0]})
    line = _share_line("a study", [{"wall": 10.0, "runs": runs, "n_jobs": 2}])
    assert round(line.value, 6) == 15.0
    assert line.reached == "no"
    assert "10.0 s; in all processes 12.0 s training, 5.0 s prediction, 2.00 s else in the runs, 1.00 s" in line.detail
    alone = [{"wall": 18.0, "runs": runs, "n_jobs": 1}] * 3
    assert _share_line("a study", alone).reached == "yes"
