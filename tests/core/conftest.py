"""How hypothesis runs in these tests."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no error; and examples that failed before are not kept in the work tree.
settings.register_profile("core", deadline=None, database=None)
settings.load_profile("core")
