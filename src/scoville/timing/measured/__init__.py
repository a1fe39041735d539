"""Timing from measured kernels: compact tables per operator class, and the fits that made them.

`gemm`, `collectives`, `attention` and `moe` look up; `fit` writes their tables anew. Arrays of shapes in, seconds out.
"""
