"""Declared fields: defaults, inheritance, strict classes, and what a class may not declare.

Annotations are strings here, by the line below; `test_field_types` has types, and says what a field takes.
"""

from __future__ import annotations

import datetime
import sys
import types
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import pytest
from support.blocking import Blocking
from support.containers import same, spoil

from qstate_nb import AsyncState, State, StateKey, StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.errors import FieldDefinitionError, FieldTypeError, NotFoundError, QStateError

SHARED: list[Any] = [[1]]


class Signup(State):
    step: int = 0
    phone: str | None = None
    name: str
    tags: list[Any] = [[1]]  # noqa: RUF012
    made: dict[str, list[int]] = field(default_factory=lambda: {"a": [1]})
    also: list[Any] = msgspec.field(default_factory=list)
    plain: int = field(default=7)
    spec: str = msgspec.field(default="s")
    needed: int = field()
    wanted: int = msgspec.field()


class SignupAsync(AsyncState, name="Signup"):
    step: int = 0
    phone: str | None = None
    name: str
    tags: list[Any] = [[1]]  # noqa: RUF012
    made: dict[str, list[int]] = field(default_factory=lambda: {"a": [1]})
    also: list[Any] = msgspec.field(default_factory=list)
    plain: int = field(default=7)
    spec: str = msgspec.field(default="s")
    needed: int = field()
    wanted: int = msgspec.field()


DEFAULTS: dict[str, Any] = {
    "step": 0,
    "phone": None,
    "tags": [[1]],
    "made": {"a": [1]},
    "also": [],
    "plain": 7,
    "spec": "s",
}
KEY = StateKey("Signup")


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry()


@pytest.fixture(params=[Signup, SignupAsync])
def state(request: pytest.FixtureRequest, registry: StateRegistry) -> Blocking:
    cls: type[StateBase] = request.param
    return Blocking(registry.state(cls))


# -- defaults ------------------------------------------------------------------------------------------------------


def test_a_default_shows_until_the_field_is_set(state: Blocking, registry: StateRegistry) -> None:
    for key, default in DEFAULTS.items():
        assert same(state.get(key), default)
        assert same(state.get(key, "another"), default)
        assert state.contains(key)
        assert same(state.pop(key, "another"), default)
        assert same(state.setdefault(key, default), default)
    assert same(state.get_all(), DEFAULTS)
    assert same(state.get(), DEFAULTS)
    assert state.keys() == list(DEFAULTS)
    assert (list(registry.history()), registry.writers(KEY)) == ([], {})


def test_a_field_without_a_default_is_not_there_until_it_is_set(state: Blocking) -> None:
    for key in ("name", "needed", "wanted"):
        assert state.get(key) is None
        assert state.get(key, 5) == state.pop(key, 5) == 5
        assert not state.contains(key)
    state.update(name="anna", needed=1)
    assert state.keys() == [*DEFAULTS, "name", "needed"]
    assert state.setdefault("wanted", 3) == 3
    assert same(state.get_all(), {**DEFAULTS, "name": "anna", "needed": 1, "wanted": 3})


def test_a_default_comes_back_when_the_field_is_removed(state: Blocking) -> None:
    for remove in (
        lambda: state.delete("step"),
        lambda: state.pop("step"),
        state.clear,
        state.drop,
    ):
        state.update(step=5, phone="1")
        assert (state.get("step"), state.get("phone")) == (5, "1")
        remove()
        assert state.get("step") == 0
        state.clear()
    assert same(state.get_all(), DEFAULTS)


def test_verbs_work_on_from_a_default(state: Blocking, registry: StateRegistry) -> None:
    assert state.increment("plain") == 8
    assert state.append("tags", 2) is None
    assert state.mutate("step", lambda step: step - 1) == -1
    assert state.mutate("made", lambda made: {**made, "b": [2]}, "no default is needed") == {"a": [1], "b": [2]}
    expected = {**DEFAULTS, "plain": 8, "tags": [[1], 2], "step": -1, "made": {"a": [1], "b": [2]}}
    assert same(state.get_all(), expected)
    assert [event.op for event in registry.history()] == ["increment", "append", "mutate", "mutate"]
    state.clear()
    assert same(state.get_all(), DEFAULTS)


def test_a_default_that_can_be_changed_is_never_shared(state: Blocking, registry: StateRegistry) -> None:
    for key in ("tags", "made", "also"):
        spoil(state.get(key))
        spoil(state.pop(key))
        spoil(state.setdefault(key, DEFAULTS[key]))
    spoil(state.get_all())
    state.append("tags", 2)
    state.mutate("made", lambda made: {**made, "b": made["a"]})
    spoil(state.get_all())
    state.clear()
    assert same(state.get_all(), DEFAULTS)
    assert same(Blocking(registry.state(Signup, scope=1)).get_all(), DEFAULTS)
    assert same(Blocking(StateRegistry().state(Signup)).get_all(), DEFAULTS)
    assert same(registry.peek(KEY), DEFAULTS)


def test_what_a_default_was_made_of_is_not_shared_either() -> None:
    mine: list[Any] = [[1]]

    class Order(State):
        one: list[Any] = mine
        two: list[Any] = field(default_factory=lambda: mine)

    state = StateRegistry().state(Order)
    for key in ("one", "two"):
        spoil(state.get(key))
        spoil(state.setdefault(key, []))
        state.append(key, 2)
    assert mine == [[1]]
    spoil(mine)
    assert state.get_all() == {"one": [[1], 2], "two": [[1], 2]}
    state.delete("one")
    assert state.get("one") == [[1]]


def test_a_default_is_no_reason_to_store_it(state: Blocking, registry: StateRegistry) -> None:
    """What is stored is what was set, and only that is listed and has writers."""
    scoped = registry.state(Signup, scope=1)
    scoped.get("step")
    scoped.setdefault("step", 5)
    assert StateKey("Signup", 1) not in registry.keys()
    state.set("step", 0)
    assert registry.writers(KEY).keys() == {"step"}


# -- what is a field -----------------------------------------------------------------------------------------------


def test_class_variables_and_private_names_are_no_fields() -> None:
    class Order(State):
        number: int = 1
        one: ClassVar[int] = 1
        two: typing.ClassVar[int] = 2
        three: ClassVar = 3
        _private: int = 4
        kind: ClassVariety
        plain = 5

    Order.two = 6
    state = StateRegistry().state(Order)
    assert (state.one, state.two, state.three, state._private, state.plain) == (1, 6, 3, 4, 5)
    assert Order.declared is not None
    assert list(Order.declared.annotations) == ["number", "kind"]
    state.set("one", "any value")
    state.set("_private", "any value")
    assert state.get_all() == {"number": 1, "one": "any value", "_private": "any value"}


class ClassVariety:
    pass


@pytest.mark.parametrize("annotation", ["ClassVar", "t.ClassVar[int]", ClassVar, ClassVar[int]])
def test_a_class_variable_is_none_however_it_is_written(annotation: Any) -> None:
    cls = define({"limit": annotation}, {"limit": 5})
    assert (cls.declared, vars(cls)["limit"]) == (None, 5)


def test_a_class_that_declares_nothing_is_free() -> None:
    class Order(State):
        limit: ClassVar[int] = 5
        start = 5

        def count(self) -> int:
            return self.start

    assert Order.declared is None
    state = StateRegistry().state(Order)
    state.set("start", "any value")
    assert state.update(limit=[1]) == {"start": "any value", "limit": [1]}
    assert (state.start, state.count()) == (5, 5)


def test_undeclared_keys_are_free_beside_declared_ones(state: Blocking) -> None:
    state.set("other", 1)
    state.set("other", "x")
    state.append("more", object)
    assert state.keys() == [*DEFAULTS, "other", "more"]


METHODS = [name for name in dir(State) if not name.startswith("_")]


@pytest.mark.parametrize("base", [State, AsyncState])
@pytest.mark.parametrize("name", METHODS)
def test_a_field_that_would_hide_a_method_is_refused_when_the_class_is_defined(
    name: str, base: type[StateBase]
) -> None:
    assert len(METHODS) > 15
    fields = {"__annotations__": {"first": "int", name: "int"}}
    message = f"field {name!r} of State class Order would hide its method; give it another name"
    with pytest.raises(FieldDefinitionError) as caught:
        types.new_class("Order", (base,), {}, lambda namespace: namespace.update(fields))
    assert str(caught.value) == message
    assert isinstance(caught.value, QStateError)


def test_a_field_that_would_hide_a_method_of_a_users_base_is_refused() -> None:
    class Base(State):
        def phone(self) -> str:
            return "1"

    with pytest.raises(FieldDefinitionError, match="field 'phone' of State class Order would hide its method"):

        class Order(Base):
            phone: str  # type: ignore[assignment]


@pytest.mark.parametrize("cls", [Signup, SignupAsync])
def test_a_field_is_no_attribute(cls: type[StateBase], registry: StateRegistry) -> None:
    """Which would be the default, whatever the value is; the message says what to write."""
    state: Any = registry.state(cls)
    hint = (
        f"'step' is a field of <{cls.__name__}: State 'Signup'>, not an attribute: use get('step') and set('step', …)"
    )
    for attempt in (lambda: state.step, lambda: setattr(state, "step", 1)):
        with pytest.raises(AttributeError) as caught:
            attempt()
        assert str(caught.value) == hint
    assert not hasattr(state, "name")
    assert registry.history() == []
    with pytest.raises(AttributeError, match=r"<Signup\w*: State 'Signup\[42\]'>"):
        _ = registry.state(cls, scope=42).tags  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'stpe'"):
        _ = state.stpe


# -- inheritance ---------------------------------------------------------------------------------------------------


class Base(State):
    a: int = 1
    b: int = 2
    c: list[Any] = []  # noqa: RUF012


class Heir(Base):
    d: int = 4
    b: str = "b"  # type: ignore[assignment]


class Bare(Heir):
    b: str
    a = 10  # a default for the inherited field


class Other(State):
    b: float = 0.5
    e: int = 5


class Both(Heir, Other):  # type: ignore[misc]  # of two types of b, it has the first
    pass


class WithoutDefault(State):
    e: int


class First(WithoutDefault, Other):
    pass


def test_fields_are_inherited_and_can_be_declared_anew() -> None:
    registry = StateRegistry()
    assert registry.state(Base).get_all() == {"a": 1, "b": 2, "c": []}
    assert registry.state(Heir).get_all() == {"a": 1, "b": "b", "c": [], "d": 4}
    with pytest.raises(FieldTypeError, match=r"Heir.b can't be 2 \(int\): Expected `str`, got `int`"):
        registry.state(Heir).set("b", 2)
    with pytest.raises(FieldTypeError, match=r"Heir.a can't be 'x' \(str\)"):
        registry.state(Heir).set("a", "x")
    registry.state(Base).set("b", 3)


def test_a_field_that_is_declared_anew_without_a_default_has_none() -> None:
    state = StateRegistry().state(Bare)
    assert state.get_all() == {"a": 10, "c": [], "d": 4}
    assert state.get("b") is None


def test_a_class_attribute_is_a_new_default_for_an_inherited_field() -> None:
    state = StateRegistry().state(Bare)
    assert state.increment("a") == 11
    with pytest.raises(AttributeError, match=r"use get\('a'\)"):
        _ = state.a


def test_fields_of_several_bases_come_together_and_the_first_base_wins() -> None:
    state = StateRegistry().state(Both)
    assert state.get_all() == {"b": "b", "e": 5, "a": 1, "c": [], "d": 4}
    with pytest.raises(FieldTypeError, match=r"Both.b can't be 0.5 \(float\)"):
        state.set("b", 0.5)
    with pytest.raises(FieldTypeError, match=r"Both.e can't be 'x' \(str\)"):
        state.set("e", "x")
    assert StateRegistry().state(First).get_all() == {"b": 0.5}  # nor has e a default


def test_a_sync_and_an_async_class_of_one_name_share_data_and_declare_for_themselves() -> None:
    class Order(State):
        step: int = 1

    class AsyncOrder(AsyncState, name="Order"):
        step: str = "first"
        more: int = 5

    registry = StateRegistry()
    sync_state, async_state = registry.state(Order), Blocking(registry.state(AsyncOrder))
    assert (sync_state.get_all(), async_state.get_all()) == ({"step": 1}, {"step": "first", "more": 5})
    async_state.set("step", "second")
    assert sync_state.get("step") == "second"
    with pytest.raises(FieldTypeError, match=r"Order.step can't be 2 \(int\): Expected `str`"):
        async_state.set("step", 2)
    sync_state.set("step", 2)
    assert (sync_state.get_all(), async_state.get_all()) == ({"step": 2}, {"step": 2, "more": 5})


def define(annotations: dict[str, Any], defaults: dict[str, Any], **options: Any) -> type[State]:
    """A class as a cell defines it that is run again."""
    namespace = {"__module__": __name__, "__qualname__": "Order", "__annotations__": annotations, **defaults}
    return typing.cast("type[State]", types.new_class("Order", (State,), options, lambda ns: ns.update(namespace)))


def test_a_class_that_is_defined_again_with_other_fields_keeps_its_data() -> None:
    registry = StateRegistry()
    first = registry.state(define({"step": "int", "old": "int"}, {"step": 1, "old": 2}))
    first.set("step", 5)
    again = registry.state(define({"step": "str", "new": "int"}, {"step": "one", "new": 3}))
    assert again.get_all() == {"step": 5, "new": 3}
    with pytest.raises(FieldTypeError, match=r"Order.step can't be 6 \(int\): Expected `str`"):
        again.increment("step")
    again.set("old", "free now")
    assert again.get_all() == {"step": 5, "new": 3, "old": "free now"}
    again.delete("step")
    assert again.get("step") == "one"
    assert first.get("step") == 1
    free = registry.state(define({}, {}))
    assert free.get_all() == {"old": "free now"}
    free.set("step", [])
    assert registry.state(define({"step": "int"}, {})).get("step") == []


# -- string annotations --------------------------------------------------------------------------------------------


class Early(State):
    place: Place | None = None  # of a class that comes later
    places: list[Place] = []  # noqa: RUF012
    when: datetime.datetime = datetime.datetime(2026, 1, 2)


class Wrong(State):
    it: Undefined  # type: ignore[name-defined] # noqa: F821


@dataclass
class Place:
    x: int


def test_an_annotation_can_name_a_class_that_comes_later() -> None:
    state = StateRegistry().state(Early)
    state.set("place", Place(1))
    state.append("places", Place(2))
    assert state.get_all() == {"place": Place(1), "places": [Place(2)], "when": datetime.datetime(2026, 1, 2)}
    with pytest.raises(FieldTypeError, match=r"; it is declared as Place \| None$"):
        state.set("place", 5)


def test_an_annotation_can_name_a_class_of_the_function_around_it() -> None:
    @dataclass
    class Local:
        x: int

    def inside() -> type[State]:
        @dataclass
        class Inner:
            x: int

        class Order(State):
            one: Local
            two: Inner | None = None
            three: list[Local] = field(default_factory=lambda: [Local(3)])

        Order.make = staticmethod(lambda x: Inner(x))  # type: ignore[attr-defined]
        return Order

    cls = inside()
    state = StateRegistry().state(cls)
    state.update(one=Local(1), two=cls.make(2))  # type: ignore[attr-defined]
    assert state.get("three") == [Local(3)]
    for key in ("one", "two", "three"):
        with pytest.raises(FieldTypeError, match=rf"Order.{key} can't be 'x' \(str\)"):
            state.set(key, "x")


def test_an_annotation_can_name_a_class_of_any_function_around_it_the_nearest_first() -> None:
    class Far:
        pass

    class Near:
        pass

    far, wrong = Far(), Near()

    def inside() -> tuple[type[State], object]:
        class Near:
            pass

        class Order(State):
            one: Far
            two: Near

        return Order, Near()

    cls, near = inside()
    state = StateRegistry().state(cls)
    state.update(one=far, two=near)
    with pytest.raises(FieldTypeError, match=r"^Order.two can't be .* \(Near\): Expected `Near`, got `Near`$"):
        state.set("two", wrong)


def test_an_inherited_annotation_is_evaluated_where_it_was_written() -> None:
    """In the module of the base: here, one that has another class of the name."""
    other = types.ModuleType("another_module")
    sys.modules["another_module"] = other
    source = """
        from __future__ import annotations
        from qstate_nb import State
        class Place: pass
        class Base(State):
            place: Place
    """
    try:
        exec("\n".join(line[8:] for line in source.splitlines()), vars(other))
        mine: Any = types.new_class("Mine", (other.Base,), {}, lambda ns: ns.update(__module__=__name__))
        state = StateRegistry().state(mine)
        state.set("place", other.Place())
        with pytest.raises(FieldTypeError, match=r"Mine.place can't be Place\(x=1\) \(Place\): Expected `Place`"):
            state.set("place", Place(1))
    finally:
        del sys.modules["another_module"]


def test_a_name_that_is_not_defined_is_an_error_when_the_state_is_used_and_not_before() -> None:
    for _ in range(2):
        with pytest.raises(FieldDefinitionError, match="name 'Undefined' is not defined") as caught:
            StateRegistry().state(Wrong)
        assert str(caught.value).startswith(
            "field 'it' of State class Wrong: its type 'Undefined' can't be evaluated"
        )


def test_a_definition_that_fails_can_work_later() -> None:
    """The name may come in a later cell."""
    globals().pop("Later", None)
    cls = define({"it": "Later"}, {})
    registry = StateRegistry()
    with pytest.raises(FieldDefinitionError, match="name 'Later' is not defined"):
        registry.state(cls)
    try:
        globals()["Later"] = int
        assert registry.state(cls).increment("it") == 1
    finally:
        del globals()["Later"]


def test_a_default_factory_that_fails_fails_every_time() -> None:
    def fail() -> int:
        raise RuntimeError("no default today")

    cls = define({"it": "int"}, {"it": field(default_factory=fail)})
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no default today"):
            StateRegistry().state(cls)


# -- strict --------------------------------------------------------------------------------------------------------


class Strict(State, name="Signup", strict=True):
    step: int = 0
    total: int = 0
    phone: str | None = None


class StrictAsync(AsyncState, name="Signup", strict=True):
    step: int = 0
    total: int = 0
    phone: str | None = None


KEYED: dict[str, tuple[Any, ...]] = {
    "get": (),
    "set": (1,),
    "delete": (),
    "contains": (),
    "increment": (),
    "append": (1,),
    "setdefault": (1,),
    "pop": (),
    "mutate": (str,),
}


@pytest.fixture(params=[Strict, StrictAsync])
def strict(request: pytest.FixtureRequest, registry: StateRegistry) -> Blocking:
    cls: type[StateBase] = request.param
    return Blocking(registry.state(cls))


@pytest.mark.parametrize("verb", [*KEYED, "update"])
def test_a_strict_class_refuses_every_verb_for_an_undeclared_key(
    strict: Blocking, registry: StateRegistry, verb: str
) -> None:
    def use(key: str) -> object:
        return strict.update(step=5, **{key: 5}) if verb == "update" else getattr(strict, verb)(key, *KEYED[verb])

    with pytest.raises(NotFoundError) as caught:
        use("stpe")
    assert str(caught.value) == "no field of State Signup called 'stpe'; did you mean 'step'?"
    assert (caught.value.name, caught.value.known) == ("stpe", ["phone", "step", "total"])
    with pytest.raises(NotFoundError, match="no field of State Signup called 'x'; there is: phone, step, total"):
        use("x")
    assert registry.history() == []
    assert strict.get_all() == {"step": 0, "total": 0, "phone": None}


def test_a_strict_class_does_all_with_what_it_declares(strict: Blocking) -> None:
    strict.set("step", 1)
    assert strict.update(total=2) == {"step": 1, "total": 2, "phone": None}
    assert strict.increment("step") == 2
    assert strict.setdefault("phone", "1") is None
    assert strict.mutate("phone", str) == "None"
    assert strict.contains("phone")
    assert strict.pop("total") == 2
    assert strict.get() == strict.get_all() == {"step": 2, "total": 0, "phone": "None"}


def test_strictness_is_inherited_unless_it_is_given_up() -> None:
    class Heir(Strict, name="Heir"):
        more: int = 1

    class Free(Heir, strict=False):
        pass

    class Empty(State, strict=True):
        pass

    registry = StateRegistry()
    registry.state(Heir).set("more", 2)
    with pytest.raises(NotFoundError, match="no field of State Heir called 'extra'"):
        registry.state(Heir).set("extra", 2)
    registry.state(Free).set("extra", 2)
    with pytest.raises(NotFoundError, match="no field of State Empty called 'any'; there is none yet"):
        registry.state(Empty).set("any", 1)


@pytest.mark.parametrize("value", [1, [1]])
def test_a_strict_class_shows_what_others_have_stored(registry: StateRegistry, value: Any) -> None:
    """Nothing is lost when a class becomes strict."""

    class Free(State, name="Signup"):
        pass

    registry.state(Free).set("extra", value)
    assert registry.state(Strict).get_all() == {"step": 0, "total": 0, "phone": None, "extra": value}
    assert registry.state(Strict).keys() == ["step", "total", "phone", "extra"]
    registry.state(Strict).clear()
    assert registry.state(Free).get_all() == {}


# -- what displays ask for -----------------------------------------------------------------------------------------


def test_the_declaration_can_be_asked_for() -> None:
    declared = Signup.declared
    assert declared is not None
    assert list(declared.annotations) == list(declared.types())
    assert declared.types()["phone"] == str | None
    assert same(declared.all_defaults(), DEFAULTS)
    assert declared.written("made") == "dict[str, list[int]]"
    assert (declared.strict, Strict.declared and Strict.declared.strict) == (False, True)
