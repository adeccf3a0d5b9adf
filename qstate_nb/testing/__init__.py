"""What users' own tests use: `Trial` for tasks, `StoreConformance` for stores."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qstate_nb.testing.trial import Trial

if TYPE_CHECKING:
    from qstate_nb.testing.conformance import StoreConformance

__all__ = ["StoreConformance", "Trial"]


def __getattr__(name: str) -> Any:  # pytest is loaded by those alone who test a store
    if name != "StoreConformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import pytest
    except ImportError:
        from qstate_nb.errors import MissingPackageError

        raise MissingPackageError(
            "StoreConformance needs pytest, which is not installed: pip install pytest"
        ) from None
    if "qstate_nb.testing.conformance" not in sys.modules:
        pytest.register_assert_rewrite("qstate_nb.testing.conformance")
    from qstate_nb.testing.conformance import StoreConformance

    return StoreConformance
