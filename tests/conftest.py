"""What every test relies on: property tests draw the same examples each time, and no slow machine fails them."""

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", deadline=None, database=None, max_examples=2000)  # new examples each time
settings.load_profile("house")
