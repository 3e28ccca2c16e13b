"""How hypothesis runs: a slow machine makes no test fail."""

from hypothesis import settings

settings.register_profile("gpucost", deadline=None)
settings.load_profile("gpucost")
