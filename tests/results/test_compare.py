"""Same bits, same fates, compatible or different."""

import shutil

import numpy as np
import pytest
import zarr
from scipy import stats

from phasepipe.analysis.agreement import paired_p_value
from phasepipe.results.compare import NothingInCommonError, compare
from phasepipe.store.folder import SweepFolder


@pytest.fixture(scope="module")
def finished(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("compared"), instances=12)


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished.root, tmp_path / "copy")
    return SweepFolder(tmp_path / "copy")


def change(folder, name, edit):
    array = zarr.open_group(str(folder.store("runs", 12)), mode="r+")[name]
    array[...] = edit(array[...])


def test_a_copy_has_the_same_bits(finished, copy):
    found = compare(finished, copy, 0.01)
    assert (found.verdict, found.runs, found.only_one) == ("same bits", 2 * 12 * 2, 0)


def test_other_bits_are_counted_where_fates_agree(finished, copy):
    change(copy, "mu", lambda mu: np.where(np.arange(mu.shape[1])[:, None, None] == 3, mu + 1e-3, mu))
    found = compare(finished, copy, 0.01)
    assert (found.verdict, found.bits_differ, found.fates_differ) == ("same fates", 4, 0)


def test_one_changed_fate_is_compatible_and_all_are_not(finished, copy):
    def one(outcome):
        outcome[0, 0, 0] = 3 if outcome[0, 0, 0] == 1 else 1
        return outcome

    change(copy, "outcome", one)
    found = compare(finished, copy, 0.01)
    assert (found.verdict, found.fates_differ) == ("statistically compatible", 1)
    change(copy, "outcome", lambda outcome: np.where(np.arange(2)[:, None, None] == 0, 1, outcome))
    assert compare(finished, copy, 0.01).verdict == "different"


def test_other_grids_are_compared_where_they_meet(finished, run_sweep, tmp_path):
    other = run_sweep(tmp_path, instances=5, alpha=[4, 3])
    found = compare(finished, other, 0.01)
    assert found.verdict == "same bits"
    assert found.cells["alpha"].tolist() == [4]
    assert (found.runs, found.only_one) == (10, 48 + 20 - 20)


def test_independent_seeds_of_one_truth_are_compatible(finished, run_sweep, tmp_path):
    found = compare(finished, run_sweep(tmp_path, instances=12, seed=8), 0.01)
    assert found.verdict == "statistically compatible"
    assert not found.paired


def test_nothing_in_common_is_refused(finished, run_sweep, tmp_path):
    with pytest.raises(NothingInCommonError, match="share no computed run"):
        compare(finished, run_sweep(tmp_path, alpha=[3]), 0.01)


@pytest.mark.parametrize("difference", [[1, 0, 2, 1], [3, -1, 0, 1, 1], [1, 1]])
def test_the_paired_test_is_that_of_scipy(difference):
    values = np.array(difference, float)
    oracle = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    )
    assert paired_p_value(values) == pytest.approx(min(1, oracle.pvalue))
