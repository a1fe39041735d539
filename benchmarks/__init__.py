"""Promised speeds. Each module has `rows()`, which yields (name, target, measured, passed) for what it measures."""
