"""Which chip should serve this traffic: a space of designs to the cheapest, with all that its cost hangs on.

`space_file.read_space` reads a space, `run.design` searches it; `evaluate.evaluate` is what one block of points takes.
Nothing is imported here, since the compiled parts load slowly.
"""
