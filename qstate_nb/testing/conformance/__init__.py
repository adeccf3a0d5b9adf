"""`StoreConformance`: the tests that a store of State must pass."""

from __future__ import annotations

from typing import ClassVar

from qstate_nb.core.store import MemoryStore
from qstate_nb.testing.conformance.damage import Damage
from qstate_nb.testing.conformance.fields import Fields
from qstate_nb.testing.conformance.history import History
from qstate_nb.testing.conformance.keeping import Keeping
from qstate_nb.testing.conformance.telling import Expiry, Telling
from qstate_nb.testing.conformance.together import Together
from qstate_nb.testing.conformance.transactions import Transactions
from qstate_nb.testing.conformance.values import Values
from qstate_nb.testing.conformance.verbs import Verbs
from qstate_nb.testing.conformance.waiting import Waiting

__all__ = ["StoreConformance"]


class StoreConformance(
    Verbs, Fields, Values, Together, Transactions, Waiting, History, Keeping, Telling, Expiry, Damage
):
    """Tests of all that State promises, on one kind of store: subclass it in a test module and override `open`.

    pytest then finds the tests in the subclass, whose name must begin with ``Test``. What `open` needs comes from a
    fixture of the subclass that is used by itself and sets attributes: each test has an object of its own.

    Attributes:
        shared: whether several stores can be open on the same data, as by several processes. If not, tests of that
            are skipped, and so are those of what shared stores promise beyond: to refuse what they can't write down.

    Example:
        >>> import pytest
        >>> from qstate_nb import open_store
        >>> from qstate_nb.testing import StoreConformance
        >>> class TestMyStore(StoreConformance):
        ...     @pytest.fixture(autouse=True)
        ...     def place(self, tmp_path):
        ...         self.path = tmp_path / "state.db"
        ...
        ...     def open(self, max_events=10_000):
        ...         return open_store(f"sqlite:///{self.path}", max_events=max_events)
    """

    shared: ClassVar[bool] = True

    def open(self, max_events: int | None = 10_000) -> MemoryStore:
        """A store on the data of this test, which is empty at first; called for each process that a test plays.

        Those that have a ``close()`` are closed after the test.

        Args:
            max_events: how many events the journal keeps at least, None for all; the same in all calls of a test.
        """
        return super().open(max_events)

    def damage(self, store: MemoryStore, bucket: str, field: str) -> None:
        """Make a stored value unreadable, past the store: as a damaged disk does, or another program.

        Without it, the tests of such values are skipped.

        Args:
            store: one that `open` gave.
            bucket: as ``str(StateKey(…))`` gives it.
            field: of that bucket; its value is a str.
        """
        super().damage(store, bucket, field)
