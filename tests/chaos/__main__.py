"""``python -m tests.chaos``: the campaign on the command line."""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path


def main() -> None:
    """Run the campaign, a line of JSON for every fault; or make the page of such lines."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=main.__doc__)
    parser.add_argument("--faults", type=int, default=200, help="faults in all")
    parser.add_argument("--workflow", type=int, default=30, help="of these, through the whole of Snakemake")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="kinds whose name contains this")
    parser.add_argument("--scratch", type=Path, help="folder for the sweeps; default a temporary one")
    parser.add_argument(
        "--outcomes", type=Path, nargs="+", default=[Path("chaos.jsonl")], help="lines of JSON"
    )
    parser.add_argument("--to", type=Path, help="page that gets the table of all outcomes")
    asked = parser.parse_args()

    from tests.chaos.campaign import Outcome, campaign
    from tests.chaos.commands import warm_up
    from tests.chaos.faults import KINDS
    from tests.chaos.page import write_page

    scratch = asked.scratch or Path(tempfile.mkdtemp(prefix="chaos-"))
    scratch.mkdir(parents=True, exist_ok=True)
    if asked.faults:
        warm_up()
        for through, faults in (("stages", asked.faults - asked.workflow), ("workflow", asked.workflow)):
            kinds = [kind for kind in KINDS if (asked.only or "") in kind.name and getattr(kind, through)]
            for outcome in campaign(scratch, faults, asked.seed, through, kinds) if faults > 0 else ():
                with asked.outcomes[0].open("a") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
                print("well" if outcome.well else "ILL ", outcome, flush=True)
    if asked.to:
        lines = [line for file in asked.outcomes for line in file.read_text().splitlines()]
        write_page(asked.to, [Outcome(**json.loads(line)) for line in lines])


if __name__ == "__main__":
    main()
