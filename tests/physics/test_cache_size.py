"""How many matrices stay in the caches is read from the times of products with them."""

import pytest

from phasepipe.physics.cache_size import cached_bytes, fitting

MATRIX = 256 * 768 * 4  # bytes


@pytest.mark.parametrize(
    ("seconds", "matrices"),
    [
        ([5, 5, 5, 5, 5, 7, 9, 12, 12, 12], 12),  # measured alone, and beside another worker
        ([5.5, 5.1, 5, 5.2, 9, 10, 11, 12, 12, 12], 8),
        ([5] * 10, 48),
        ([5, 9, 9, 9, 9, 9, 9, 9, 9, 9], 2),
        ([5, 5, 5, 9, 5, 5, 5, 5, 5, 5], 6),  # what is slow once is not taken for fast later
    ],
)
def test_matrices_fit_until_their_products_become_slower(seconds, matrices):
    assert fitting(seconds) == matrices


def test_it_is_some_megabytes_on_this_machine():
    assert 0.5 * MATRIX <= cached_bytes() <= 24 * MATRIX
