from __future__ import annotations

import numpy as np

from tightfit.data.sources import InputSpec, open_data
from tightfit.diagnosis.doctor.sample_checks import not_finite
from tightfit.diagnosis.doctor.sample_log import SampleLog


def test_nan_is_found_in_samples_that_do_not_calibrate(tmp_path):
    rows = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    rows[3, 1] = np.nan
    np.savez(tmp_path / "set.npz", x=rows)
    dataset = open_data(str(tmp_path / "set.npz"), inputs=[InputSpec("x", (1, 4), "float32")])
    log = SampleLog()
    list(log.read(dataset, range(40, 60)))
    assert not_finite(log.evidence()) is None
    log.look_over(dataset, range(40))
    found = not_finite(log.evidence())
    assert found is not None
    assert "1 of 60 samples hold NaN or infinity, the first is Sample 3 of 'set.npz'" in str(found)
