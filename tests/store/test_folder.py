"""A folder that a workflow cannot write is refused before it starts."""

import pytest

from phasepipe.errors import SweepError
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import check_folder

SWEEP = Sweep.model_validate(
    {
        "name": "small",
        "loss": {"kind": "quartic"},
        "N": [16],
        "alpha": [2],
        "instances": 1,
        "starts": [{"kind": "random", "count": 1}],
    }
)


@pytest.mark.parametrize("part", ["figures", "logs", "runs"])
def test_a_file_in_the_place_of_a_part_of_the_results_is_named(tmp_path, part):
    (tmp_path / "small").mkdir()
    assert check_folder(SWEEP, tmp_path).root == tmp_path / "small"
    (tmp_path / "small" / part).write_text("")
    with pytest.raises(
        SweepError, match=rf"small/{part} cannot be written \(.*{part} is not a writable folder"
    ):
        check_folder(SWEEP, tmp_path)
