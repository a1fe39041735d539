"""The answer of a search: tables, charts, page and files.

`show` prints it, `write` makes a folder of it.
"""

from scoville.report.designs.sheets import show
from scoville.report.designs.write import RESULT, write

__all__ = ["RESULT", "show", "write"]
