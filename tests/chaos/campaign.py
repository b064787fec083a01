"""The campaign: injects faults, runs the same command again after each, and compares the results bitwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.chaos import inside
from tests.chaos.bench import Bench, HangError
from tests.chaos.commands import Forked, Workflow
from tests.chaos.faults import KINDS, Kind
from tests.chaos.place import Place

_REPEATS = 3
_COMMANDS = ("stages", "workflow", "process")


@dataclass
class Outcome:
    """Consequences of a fault.

    Attributes
    ----------
    kind, through
        The fault, and the command: ``stages``, ``process`` or ``workflow``.
    recovered
        The command finally succeeded and stored all blocks.
    commands
        Number of times that the command was run after the fault.
    lost
        Number of blocks that were stored before the fault and were computed again.
    wrong
        Number of data files that differ from the reference.
    hang
        A command did not end in time.
    traceback
        A command printed a traceback.
    seconds
        Time from the end of the fault until the command succeeded.
    remark
        Other problems.
    """

    kind: str
    through: str
    recovered: bool = False
    commands: int = 0
    lost: int = 0
    wrong: int = 0
    hang: bool = False
    traceback: bool = False
    seconds: float = 0.0
    remark: str = ""

    @property
    def well(self) -> bool:
        """Whether the fault had no lasting consequence."""
        return self.recovered and not (self.lost or self.wrong or self.hang or self.traceback or self.remark)


def kinds_for(through: str, name: str = "") -> list[Kind]:
    """Kinds of fault that apply to the command and have ``name`` in their names."""
    if through == "process":
        kinds = [kind for kind in KINDS if kind.stages and not kind.workers]
    else:
        kinds = [kind for kind in KINDS if getattr(kind, through)]
    return [kind for kind in kinds if name in kind.name]


def make_reference(root: Path, patience: float, through: str) -> Place:
    """Compute the sweep without a fault."""
    place = Place(root, through != "process")
    place.make()
    command = Workflow(place) if through == "workflow" else Forked(place, inside.compute)
    if command.wait(patience) != 0:
        raise RuntimeError(f"the undisturbed sweep failed: {command.output()}")
    return place


def suffer(kind: Kind, bench: Bench, reference: dict[str, bytes]) -> Outcome:
    """Inject a fault into the folder of ``bench``, run the command again, and compare with ``reference``."""
    outcome = Outcome(kind.name, bench.through)
    try:
        kind.inject(bench)
        start = time.monotonic()
        if kind.verified:
            bench.verify()
        while outcome.commands < _REPEATS and not outcome.recovered:
            outcome.commands += 1
            outcome.recovered = bench.ended(bench.start()) == 0
        outcome.seconds = time.monotonic() - start
    except HangError as hang:
        outcome.hang, outcome.remark = True, str(hang)
    data = bench.place.data()
    differing = [name for name in reference | data if data.get(name) != reference.get(name)]
    outcome.wrong = len(differing)
    outcome.lost = bench.lost()
    outcome.traceback = bool(bench.tracebacks)
    named = f"differing: {', '.join(differing[:5])}" if differing else ""
    outcome.remark = "; ".join(filter(None, [outcome.remark, named, *bench.complaints]))
    return outcome


def campaign(
    root: Path,
    faults: int,
    seed: int,
    through: str,
    kinds: list[Kind] | None = None,
    patience: float = 240.0,
) -> Iterator[Outcome]:
    """Yield the outcomes of ``faults`` faults.

    Parameters
    ----------
    root
        Scratch folder; it keeps the output of the commands after a fault with consequences.
    faults, seed
        Number of faults, and seed that selects their kinds and times.
    through
        ``stages`` with worker processes, ``process`` for stages that compute in their own, or ``workflow``.
    kinds
        Kinds of fault; default all that apply to the command. Each occurs at least once if ``faults`` allows.
    patience
        Seconds after which a command counts as hanging.
    """
    rng = np.random.default_rng([seed, _COMMANDS.index(through)])
    chosen = kinds or kinds_for(through)
    weights = np.array([kind.weight for kind in chosen])
    place = make_reference(root / f"reference-{through}-{seed}", 2 * patience, through)
    reference = place.data()
    order = list(rng.permutation(len(chosen)))[:faults]
    order += list(rng.choice(len(chosen), max(0, faults - len(order)), p=weights / weights.sum()))
    for number, index in enumerate(order):
        kind = chosen[index]
        scene = Place(root / f"{through}-{seed}-{number}", place.workers)
        fresh = (
            not kind.verified and through != "workflow" and kind.name != "stale lock" and rng.random() < 0.2
        )
        scene.make(None if fresh else place)
        if not (kind.verified or fresh or kind.name.startswith("receipt")):
            scene.take_away(float(rng.uniform(0.3, 1)), rng)
        bench = Bench(scene, through, rng, patience)
        try:
            outcome = suffer(kind, bench, reference)
        finally:
            output = "\n----\n".join(bench.outputs)
            bench.close()
        if not outcome.well:
            (root / "failures").mkdir(exist_ok=True)
            (root / "failures" / f"{through}-{seed}-{number}.txt").write_text(f"{asdict(outcome)}\n{output}")
        yield outcome
    place.remove()
