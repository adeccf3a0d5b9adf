"""The verbs of State, in both colours: results, order, and errors that change nothing."""

from __future__ import annotations

import enum
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.errors import FieldTypeError, StateError, StateKeyError
from qstate_nb.testing.conformance.suite import Box, Suite

ODD_KEYS = [
    *("", " ", "a b", "a.b", "a:b", "a/b", "a[0]", "{a}", "$int", "*", "%", "'", '"', "\\", "--", "__proto__"),
    *("\n", "\0", "\x7f", "é", "e\u0301", "ключ", "名", "😀", "\ufeff", "\uffff", "self", "key", "0", "x" * 5_000),
]


class Verbs(Suite):
    """What each verb does."""

    def test_the_example_of_the_specification(self, box: Any) -> None:
        """All six verbs of the specification."""
        assert box.set("state", "await_phone") is None
        assert box.update(step=1, prompt="phone?") == {"state": "await_phone", "step": 1, "prompt": "phone?"}
        assert box.get("state") == "await_phone"
        assert box.get() == box.get_all() == {"state": "await_phone", "step": 1, "prompt": "phone?"}
        assert box.delete("state") is None
        assert box.get_all() == {"step": 1, "prompt": "phone?"}
        assert box.clear() is None
        assert box.get_all() == {}

    def test_get_gives_the_default_for_a_missing_key_alone(self, box: Any) -> None:
        """A value that is None is one."""
        assert (box.get("a"), box.get("a", 5)) == (None, 5)
        box.set("a", None)
        assert (box.get("a", 5), box.contains("a"), box.contains("b")) == (None, True, False)

    def test_fields_are_in_the_order_of_their_first_set(self, box: Any) -> None:
        """A field that is set again keeps its place; one that was deleted comes last."""
        box.update(c=1, a=2)
        box.set("b", 3)
        box.set("c", 4)
        assert list(box.get_all().items()) == [("c", 4), ("a", 2), ("b", 3)]
        box.delete("c")
        assert list(box.update(d=6, c=5)) == ["a", "b", "d", "c"]
        assert box.keys() == list(box.get()) == ["a", "b", "d", "c"]

    def test_update_takes_any_name(self, box: Any) -> None:
        """Also that of a parameter of a method."""
        names = {"self": 1, "key": 2, "value": 3, "values": 4, "default": 5, "by": 6, "not a name": 7}
        assert box.update(**names) == names
        assert box.update() == box.get_all() == names

    def test_many_fields(self, box: Any) -> None:
        """A thousand at once."""
        fields = {f"field {number}": number for number in range(1_000)}
        assert box.update(**fields) == fields
        assert list(box.get_all().items()) == list(fields.items())

    def test_what_is_missing_can_be_deleted(self, box: Any) -> None:
        """That changes nothing."""
        box.delete("a")
        box.set("a", 1)
        box.delete("a")
        box.delete("a")
        assert (box.get_all(), box.pop("a"), box.pop("a", 7)) == ({}, None, 7)

    def test_increment(self, box: Any) -> None:
        """A missing value is 0; any numbers can be added."""
        assert [box.increment("n"), box.increment("n", 41), box.increment("n", -2.5)] == [1, 42, 39.5]
        assert box.increment("d", Decimal("1.10")) == Decimal("1.10")
        assert box.increment("d", 1) == box.get("d") == Decimal("2.10")
        assert box.increment("f", Fraction(1, 3)) == Fraction(1, 3)
        assert box.increment("big", 10**30) == box.get("big") == 10**30

    def test_increment_needs_numbers(self, box: Any) -> None:
        """Of what is stored, and of what is added; nothing is changed."""
        box.update(text="x", flag=True, none=None, n=1)
        before = box.get_all()
        for key, by in (("text", 1), ("flag", 1), ("none", 1), ("n", "1"), ("n", True), ("new", None)):
            with pytest.raises(FieldTypeError, match=rf"Box\.{key} can't be incremented"):
                box.increment(key, by)
        assert box.get_all() == before

    def test_append(self, box: Any) -> None:
        """A missing value is an empty list; anything but a list is refused."""
        assert box.append("items", 1) is None
        box.append("items", ["a"])
        assert box.get("items") == [1, ["a"]]
        box.set("tuple", (1,))
        with pytest.raises(FieldTypeError, match=r"Box\.tuple can't be appended to"):
            box.append("tuple", 2)
        assert box.get("tuple") == (1,)

    def test_setdefault(self, box: Any) -> None:
        """It gives what is there, or else sets it."""
        assert (
            box.setdefault("a", 1),
            box.setdefault("a", 2),
            box.setdefault("none"),
            box.setdefault("none", 3),
        ) == (*(1, 1, None, None),)
        assert box.get_all() == {"a": 1, "none": None}

    def test_pop(self, box: Any) -> None:
        """It gives what it removes."""
        box.update(a=[1], b=None)
        assert (box.pop("a"), box.pop("b", 5), box.pop("b", 5)) == ([1], None, 5)
        assert box.get_all() == {}

    def test_mutate(self, box: Any) -> None:
        """It stores and gives what the function makes of a value, or of the default."""
        assert box.mutate("n", lambda n: n + 1, default=1) == 2
        assert box.mutate("n", lambda n: n * 21) == box.get("n") == 42
        assert box.mutate("new", repr) == box.get("new") == "None"

    def test_mutate_that_fails_changes_nothing(self, box: Any) -> None:
        """Its error is raised; and an async function is refused."""
        box.set("n", 0)

        async def later(_: Any) -> int:
            return 1

        with pytest.raises(ZeroDivisionError):
            box.mutate("n", lambda n: 1 // n)
        with pytest.raises(FieldTypeError, match="must not be async"):
            box.mutate("n", later)
        assert box.get_all() == {"n": 0}
        assert box.increment("n") == 1, "nobody holds it"

    def test_clear_and_drop(self, box: Any, registry: StateRegistry) -> None:
        """Both remove all fields; drop takes the name off the list as well, until something is written again."""
        key = StateKey("Box")
        box.update(a=1, b=2)
        box.clear()
        assert (box.get_all(), key in registry.keys()) == ({}, True)
        box.set("a", 1)
        assert box.drop() is None
        assert (box.get_all(), key in registry.keys(), "Box" in registry.names()) == ({}, False, False)
        box.drop()
        box.update(b=2)
        assert (box.get_all(), registry.keys()) == ({"b": 2}, [key])

    @pytest.mark.parametrize("key", [1, b"a", ("a",), ["a"], object], ids=repr)
    def test_a_key_must_be_a_str(self, box: Any, registry: StateRegistry, key: object) -> None:
        """All else is a clear error, and changes nothing."""
        calls: dict[str, tuple[Any, ...]] = {
            **dict.fromkeys(("get", "contains", "delete", "pop", "increment"), ()),
            **dict.fromkeys(("set", "append", "setdefault"), (1,)),
            "mutate": (str,),
        }
        for verb, args in calls.items():
            with pytest.raises(StateKeyError, match="a key of State Box must be a str, not"):
                getattr(box, verb)(key, *args)
        assert registry.seq == 0

    def test_a_member_of_a_str_enum_is_its_text(self, box: Any) -> None:
        """As a key."""

        class Field(str, enum.Enum):  # noqa: UP042 - as people write it
            STEP = "step"

        box.set(Field.STEP, 1)
        assert (box.get("step"), [type(key) for key in box.keys()]) == (1, [str])

    def test_odd_keys(self, box: Any) -> None:
        """Any text tells fields apart."""
        for number, key in enumerate(ODD_KEYS):
            box.set(key, number)
        assert list(box.get_all().items()) == [(key, number) for number, key in enumerate(ODD_KEYS)]
        assert [box.increment(key, 100) for key in ODD_KEYS] == [100 + number for number in range(len(ODD_KEYS))]
        for key in ODD_KEYS:
            box.delete(key)
        assert box.get_all() == {}

    def test_odd_keys_elsewhere(self, registry: StateRegistry, other: StateRegistry) -> None:
        """Any text is the same key in another process, and in the journal."""
        fields = {key: number for number, key in enumerate(ODD_KEYS)}
        registry.state(Box).update(**fields)
        assert list(other.state(Box).get_all().items()) == list(fields.items())
        assert [change.field for change in other.history()[0].changes] == ODD_KEYS

    def test_half_a_character_is_kept_or_refused(self, box: Any, registry: StateRegistry) -> None:
        """A key that can't be encoded is as good as any, or refused before anything is changed."""
        try:
            box.set("\ud800", 1)
        except StateKeyError:
            assert (box.get_all(), registry.seq) == ({}, 0)
        else:
            assert box.get_all() == {"\ud800": 1}
        assert box.get("\udfff", 5) == 5

    def test_both_colours_share_a_bucket(self, registry: StateRegistry, box: Any) -> None:
        """The name of a State class is its identity."""
        box.set("n", 1)
        assert registry.state(Box).increment("n") == 2
        assert box.get("n") == 2

    def test_a_class_that_is_defined_again_keeps_its_data(self, registry: StateRegistry) -> None:
        """One of another module is refused."""

        def defined() -> type[Box]:
            class Again(Box):
                pass

            return Again

        registry.state(defined()).set("n", 1)
        assert registry.state(defined()).get("n") == 1
        foreign = defined()
        foreign.__module__ = "elsewhere"
        with pytest.raises(StateError, match="two State classes have the name 'Again'"):
            registry.state(foreign)
