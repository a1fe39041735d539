"""`python -m scoville.report.accuracy docs/accuracy.md`: writes the page; `--kernels-only` keeps its served runs."""

from __future__ import annotations

import argparse
import sys
from importlib import resources
from pathlib import Path
from string import Template

from scoville.facts import Facts, load
from scoville.report.accuracy.kernels import by_chip, kernels
from scoville.report.accuracy.timers import classes, timers

START, END = "<!-- served runs -->", "<!-- end of served runs -->"


def cheap(facts: Facts) -> dict[str, str]:
    """The parts of the page that need no simulated run, by their name in page.md."""
    return {
        "timers": timers(facts),
        "classes": classes(facts),
        "kernels_by_chip": by_chip(),
        "kernels": kernels(),
    }


def page(facts: Facts, served: str) -> str:
    """The page with this text on served runs."""
    text = (resources.files("scoville.report.accuracy") / "page.md").read_text(encoding="utf-8")
    return Template(text).substitute(cheap(facts), served=served)


def main() -> None:
    """The command."""
    asked = argparse.ArgumentParser(prog="python -m scoville.report.accuracy", description=__doc__)
    asked.add_argument("page", type=Path, metavar="PAGE.md")
    asked.add_argument("--kernels-only", action="store_true", help="leave the part on served runs as the page has it")
    asked.add_argument("--threads", type=int, help="runs simulated at a time; the cores if left out")
    given = asked.parse_args()
    if given.kernels_only and not given.page.is_file():
        asked.error(f"{given.page}: there is no such page; --kernels-only needs one to keep its served runs")
    if not given.page.parent.is_dir():
        asked.error(f"{given.page.parent}: there is no such folder")
    facts = load()
    if given.kernels_only:
        before, after = given.page.read_text(encoding="utf-8"), page(facts, "")
        kept = before[before.index(START) : before.index(END)]
        made = after[: after.index(START)] + kept + after[after.index(END) :]
    else:
        from scoville.report.accuracy.served import run, served

        made = page(facts, served(run(facts, given.threads, lambda done: print(done, file=sys.stderr))))
    given.page.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
