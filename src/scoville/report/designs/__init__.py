"""The answer of a search: tables, charts, page and files.

`show` prints it, `write` makes a folder of it; `winner` is the design that both are about.
"""

from scoville.report.designs.sheets import show
from scoville.report.designs.wording import winner
from scoville.report.designs.write import RESULT, Extras, as_json, write

__all__ = ["RESULT", "Extras", "as_json", "show", "winner", "write"]
