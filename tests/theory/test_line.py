from __future__ import annotations

import numpy as np
import pytest

from phasepipe import NormalisedQuartic, Quartic
from phasepipe.theory import threshold_states, threshold_transition
from phasepipe.theory.line import ThresholdLine, averages_at
from phasepipe.theory.summary import at_alpha, summary, thresholds
from phasepipe.theory.threshold import states_on, transition_on


@pytest.mark.parametrize("alphas", [(2.0, 3.5, 9.0), (9.0, 3.5, 2.0)])
@pytest.mark.parametrize("loss", [NormalisedQuartic(0.01), NormalisedQuartic(10.0), Quartic()])
def test_states_in_company_are_those_alone(loss, alphas: tuple[float, ...]) -> None:
    """To the last bit, whatever was asked first."""
    line = ThresholdLine(loss)
    first = states_on(line, alphas[0])
    assert transition_on(line) == threshold_transition(loss)
    for alpha in alphas[1:]:
        assert states_on(line, alpha) == threshold_states(loss, alpha)
    assert states_on(line, alphas[0]) == first == threshold_states(loss, alphas[0])


def test_rows_of_a_table_are_summaries() -> None:
    loss = NormalisedQuartic(0.01)
    line = ThresholdLine(loss)
    known = thresholds(line)
    for alpha in (0.7, 2.5, 5.0):
        assert known | at_alpha(line, alpha) == summary(loss, alpha)


def test_a_further_alpha_costs_less(custom) -> None:
    plain, asked = NormalisedQuartic(1.0), []

    def counted(yhat, y):
        asked.append(yhat)
        return plain.curvature(yhat, y)

    line = ThresholdLine(custom(plain.value, plain.slope, counted))
    states_on(line, 3.0)
    alone = len(asked)
    states_on(line, 2.8)
    assert len(asked) - alone < 0.5 * alone


@pytest.mark.parametrize("loss", [NormalisedQuartic(0.001), NormalisedQuartic(1.0)])
def test_ends_lie_on_the_line_around_the_states(loss) -> None:
    line = ThresholdLine(loss)
    for alpha in (2.1, 6.0, 20.0):
        ends = line.ends_around(lambda averages, alpha=alpha: averages.alpha - alpha)
        assert ends is not None
        assert all(abs(averages_at(loss, end.chi, end.x).mismatch) < 1e-3 for end in ends)
        lower, upper = sorted(end.chi for end in ends)
        assert lower <= threshold_states(loss, alpha).chi <= upper


def test_states_near_a_bend_of_the_line_continue_from_larger_alpha() -> None:
    """Between the points around alpha = 2 the line bends, and a start between them is drawn elsewhere."""
    line = ThresholdLine(NormalisedQuartic(0.01))
    chis = [states_on(line, alpha).chi for alpha in (2.2, 2.1, 2.0, 1.98)]
    extrapolated = np.polyval(np.polyfit([2.2, 2.1], chis[:2], 1), [2.0, 1.98])
    np.testing.assert_allclose(chis[2:], extrapolated, rtol=1e-2)


@pytest.mark.parametrize(("a", "fold"), [(0.01, 1.617), (0.03, 1.656)])
def test_no_state_lies_beyond_a_fold(a: float, fold: float) -> None:
    """Followed in small steps, alpha turns round at the fold; a large step would land on another branch."""
    line = ThresholdLine(NormalisedQuartic(a))
    point = line.at(0.8, 6.0)
    assert point is not None
    followed = [point]
    while point is not None and point.alpha <= followed[-1].alpha:
        followed.append(point)
        point = line.at(1.02 * point.chi, point.x)
    assert min(there.alpha for there in followed) == pytest.approx(fold, abs=0.01)
    alphas = [1.95, 1.9, 1.8, 1.7]
    chis = np.interp(
        alphas, [there.alpha for there in followed[::-1]], [there.chi for there in followed[::-1]]
    )
    states = [states_on(line, alpha) for alpha in alphas]
    np.testing.assert_allclose([there.chi for there in states], chis, rtol=2e-3)
    assert (np.diff([there.energy for there in states]) < 0).all()
    with pytest.raises(ValueError, match="outside the range where threshold states"):
        states_on(line, fold - 0.02)


def test_what_fails_fails_again(custom) -> None:
    """The proximal map jumps at h > 0; that the line ends there is not what is remembered."""
    robust = custom(
        lambda p, y: 1 - np.exp(-((p**2 - y**2) ** 2) / 4),
        lambda p, y: p * (p**2 - y**2) * np.exp(-((p**2 - y**2) ** 2) / 4),
        lambda p, y: (3 * p**2 - y**2 - (p * (p**2 - y**2)) ** 2) * np.exp(-((p**2 - y**2) ** 2) / 4),
    )
    line = ThresholdLine(robust)
    for _ in range(2):
        with pytest.raises(ValueError, match="jumps at a field h > 0"):
            transition_on(line)
