"""``python -m tests.chaos``: runs the campaign from the command line."""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path


def main() -> None:
    """Run the campaign and write a line of JSON per fault, and write the page of all outcomes."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=main.__doc__)
    parser.add_argument("--faults", type=int, default=200, help="total number of faults")
    parser.add_argument(
        "--workflow", type=int, default=30, help="number of these that disturb Snakemake, not only the stages"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only kinds of fault whose name contains this text")
    parser.add_argument(
        "--process", type=int, default=30, help="number of these that disturb stages without worker processes"
    )
    parser.add_argument("--scratch", type=Path, help="folder for the sweeps; default a temporary folder")
    parser.add_argument(
        "--outcomes",
        type=Path,
        nargs="+",
        default=[Path("chaos.jsonl")],
        help="files with a line of JSON per fault",
    )
    parser.add_argument("--to", type=Path, help="page whose table of outcomes is replaced")
    asked = parser.parse_args()

    from tests.chaos.campaign import Outcome, campaign, kinds_for
    from tests.chaos.commands import warm_up
    from tests.chaos.page import write_page

    scratch = asked.scratch or Path(tempfile.mkdtemp(prefix="chaos-"))
    scratch.mkdir(parents=True, exist_ok=True)
    if asked.faults:
        warm_up()
        stages = asked.faults - asked.workflow - asked.process
        for through, faults in (("stages", stages), ("process", asked.process), ("workflow", asked.workflow)):
            kinds = kinds_for(through, asked.only)
            if faults > 0 and not kinds:
                parser.error(f"no kind of fault for the {through} has {asked.only!r} in its name")
            for outcome in campaign(scratch, faults, asked.seed, through, kinds) if faults > 0 else ():
                with asked.outcomes[0].open("a") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
                print("well" if outcome.well else "ILL ", outcome, flush=True)
    if asked.to:
        lines = [line for file in asked.outcomes for line in file.read_text().splitlines()]
        write_page(asked.to, [Outcome(**json.loads(line)) for line in lines])


if __name__ == "__main__":
    main()
