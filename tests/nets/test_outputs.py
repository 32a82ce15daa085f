"""The recorded study says what it said: each output of ``outputs.py`` is its reference, and every
run has its id.
"""

import outputs
import pytest
import snapshots


@pytest.mark.parametrize("name", outputs.OUTPUTS)
def test_output_is_its_reference(name):
    # Recorded rows and seeded draws: only the order of float64 sums may differ between machines.
    snapshots.check(outputs.OUTPUTS[name](), name, relative=1e-6, absolute=1e-9)


def test_the_full_study_lacks_nothing():
    lacking = outputs.lacking()
    assert list(lacking) == list(outputs.plan().sweeps)
    assert {name: configs for name, configs in lacking.items() if configs} == {}


def test_configuration_and_evidence_of_a_recorded_run_make_its_id():
    ids = outputs.made_again()
    assert len(ids) == 482
    assert {run_id: made for run_id, made in ids.items() if made != run_id} == {}
