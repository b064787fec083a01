"""A loss of one's own is evaluated once before anything runs; what cannot be descended is one sentence."""

import signal
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from phasepipe.errors import SweepError
from phasepipe.physics.loss_check import examined
from phasepipe.physics.losses import NormalisedQuartic, Quartic
from phasepipe.specification.configuration import load_sweep
from phasepipe.specification.loss import CustomLossSpec
from phasepipe.specification.time_limit import TooSlow, time_limit

GOOD = {
    "value": "return (f * f - y * y) ** 2",
    "slope": "return 4 * f * (f * f - y * y)",
    "curvature": "return 4 * (3 * f * f - y * y)",
}
counter = iter(range(10**6))


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds a loss from the bodies of its methods, or from the source of a module."""

    def make(source=None, path="Loss", parameters=None, **changes):
        if source is None:
            methods = "".join(
                f"    def {name}(self, f, y):\n        {body}\n" for name, body in (GOOD | changes).items()
            )
            source = f"import numpy as np\nclass Loss:\n    width = 1.0\n{methods}"
        module = f"own_loss_{next(counter)}"
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        spec = CustomLossSpec(
            kind="custom", path=f"{module}.{path}", directory=str(tmp_path), parameters=parameters or {}
        )
        return spec.trusted().build()

    return make


def refused(build, *arguments, **keywords):
    with pytest.raises(SweepError) as caught:
        build(*arguments, **keywords)
    sentence = str(caught.value)
    assert sentence.startswith("loss.path = 'own_loss_")
    assert "\n" not in sentence
    return sentence


def test_a_loss_that_can_be_descended_is_taken(build):
    assert build().value(2.0, 1.0) == 9
    for loss in (NormalisedQuartic(0.01), NormalisedQuartic(100.0), Quartic()):
        assert examined(loss) is loss


def test_a_constant_of_numpy_may_widen_the_type(build):
    assert build(slope="return np.sqrt(np.float64(16)) * f * (f * f - y * y)")


def test_a_kink_is_allowed(build):
    huber = {
        "value": "return np.where(abs(f - y) < 1, (f - y) ** 2 / 2, abs(f - y) - f.dtype.type(0.5))",
        "slope": "return np.clip(f - y, -1, 1)",
        "curvature": "return (abs(f - y) < 1).astype(f.dtype)",
    }
    assert build(**huber)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slope": "4 * f * (f * f - y * y)"}, ["its slope returns nothing", "return missing"]),
        ({"value": "pass"}, ["its value returns nothing"]),
        ({"value": "return np.sum((f - y) ** 2)"}, ["its value has shape ()", "elementwise"]),
        ({"slope": "return f.mean(axis=0) + y"}, ["its slope has shape (16,)", "(3, 16)"]),
        ({"value": "return 3.0"}, ["its value has shape ()"]),
        ({"curvature": "return 4j * (3 * f * f - y * y)"}, ["its curvature is complex64", "float32"]),
        ({"curvature": "return (3 * f * f - y * y).astype(int)"}, ["its curvature is int64"]),
        ({"slope": "return (4 * f * (f * f - y * y)).tolist()"}, ["its slope is list"]),
        ({"value": "return np.log(f)"}, ["its value is not finite"]),
        ({"slope": "return 2 * f * (f * f - y * y)"}, ["its slope is not the derivative of its value"]),
        ({"slope": "return -4 * f * (f * f - y * y)"}, ["its slope is not the derivative"]),
        ({"curvature": "return 4 * (f * f - y * y)"}, ["its curvature is not the derivative of its slope"]),
        ({"slope": "f *= 2; return f"}, ["its slope changes its arguments"]),
        ({"value": "return 1 / 0"}, ["its value(yhat, y) fails with ZeroDivisionError"]),
        ({"value": "raise SystemExit(0)"}, ["its value(yhat, y) fails with SystemExit"]),
        ({"value": "return f.nothing"}, ["its value(yhat, y) fails with AttributeError"]),
    ],
)
def test_what_cannot_be_descended_is_refused(build, changes, words):
    sentence = refused(build, **changes)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise SystemExit(0)", ["cannot be imported (SystemExit: 0)"]),
        ("import sys; sys.exit()", ["cannot be imported (SystemExit)"]),
        ("raise KeyboardInterrupt", ["cannot be imported (KeyboardInterrupt)"]),
        ("raise GeneratorExit", ["cannot be imported (GeneratorExit)"]),
        ("def Loss(", ["cannot be imported (SyntaxError"]),
        (
            "class Loss:\n    def __init__(self):\n        raise SystemExit(3)",
            ["cannot be called", "SystemExit: 3"],
        ),
        ("class Loss:\n    def __init__(self, width): pass", ["cannot be called", "width"]),
        ("Loss = 3", ["lacks value, slope, curvature"]),
        ("class Loss:\n    value = slope = curvature = 3", ["lacks value"]),
        (
            "class Loss:\n    def value(self, f): return f\n    slope = curvature = value",
            ["fails with TypeError"],
        ),
    ],
)
def test_a_module_that_offers_no_loss_is_refused(build, source, words):
    sentence = refused(build, source)
    for word in words:
        assert word in sentence


def test_a_class_in_place_of_an_object_is_refused(build):
    source = "class Inner:\n    def value(self, f, y): return f\n    slope = curvature = value\n"
    sentence = refused(build, source + "def make(width): return Inner\n", "make", {"width": 1})
    assert "Inner is a class and not an object" in sentence


@pytest.mark.parametrize("path", ["json.JSONEncoder", "json.dumps", "os.environ", "math.pi"])
def test_what_is_no_loss_at_all_is_refused(path):
    with pytest.raises(SweepError, match=r"lacks value, slope, curvature"):
        CustomLossSpec(kind="custom", path=path).trusted().build()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_are_finite(configuration, value):
    loss = {"kind": "custom", "path": "whole.Loss", "parameters": {"width": value}}
    with pytest.raises(SweepError, match=rf"loss\.parameters\.width = {value} is not valid; use a finite"):
        load_sweep(configuration(loss=loss), trust=True)


def test_a_module_that_loops_is_stopped(build, monkeypatch):
    monkeypatch.setattr("phasepipe.specification.loss._PROCESSOR_SECONDS", 0.3)
    began = time.monotonic()
    assert "took more than 0.3 s of processor time and was stopped" in refused(build, "while True: pass")
    monkeypatch.setattr("phasepipe.specification.loss._SECONDS", 0.3)
    assert "took more than 0.3 s of time" in refused(build, "import time; time.sleep(1000)")
    assert time.monotonic() - began < 30


def test_a_time_limit_leaves_the_timers_of_others_alone():
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGPROF)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    with pytest.raises(TooSlow), time_limit(processor=5, clock=0.05):
        time.sleep(5)
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGPROF)) == before
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == (left > 0)


def test_a_loss_is_built_in_a_thread_too(build):
    found = []
    thread = threading.Thread(target=lambda: found.append(build()))
    thread.start()
    thread.join()
    assert found
