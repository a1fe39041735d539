"""Is it true: what a published claim says beside what the model gives, and what would have to be true for it to hold.

`claims` reads them from the facts, `audit` evaluates them; how a claim is checked stands with it as data.
"""

from scoville.claims.audit import audit
from scoville.claims.reading import claims
from scoville.claims.records import Audit, Claim, Line, Need, Report

__all__ = ["Audit", "Claim", "Line", "Need", "Report", "audit", "claims"]
