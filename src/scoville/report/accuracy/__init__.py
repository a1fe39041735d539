"""The page docs/accuracy.md: which timer answers for each chip, and how wrong it was.

`python -m scoville.report.accuracy docs/accuracy.md` writes it anew: kernels from the rows that were left out of
their fits, served runs from the bundled table, as predicted, with whole groups left out, and without overheads.
"""
