"""How expressions are laid out over lines; `tests/exported` compares whole modules with what Ruff makes of them."""

from __future__ import annotations

import pytest

from qstate_nb.app.exporting.layout import Group, Item, Layout, Name, Node, Text, call, collection, names_in

LONG = Text('"' + 30 * "a" + '"')


def laid_out(before: str, node: Node, *, width: int = 40, indent: int = 0) -> str:
    return "\n".join(Layout(lambda what: f"<{what}>", width).statement(before, node, indent=indent))


def test_what_fits_is_on_one_line() -> None:
    node = call("f", Text("1"), collection("[", [Text("2")], "]"), named=collection("(", [Text("3")], ")"))

    assert laid_out("x = ", node) == "x = f(1, [2], named=(3,))"


def test_a_collection_gets_a_line_for_each_of_its_things() -> None:
    node = collection("[", [LONG, Text("1")], "]")

    assert laid_out("x = ", node) == f"x = [\n    {LONG.text},\n    1,\n]"


def test_a_single_thing_gets_no_comma_unless_it_is_a_tuple() -> None:
    wide = Text(40 * "1")

    assert laid_out("x = ", collection("[", [wide], "]")) == f"x = [\n    {wide.text}\n]"
    assert laid_out("x = ", collection("(", [wide], ")")) == f"x = (\n    {wide.text},\n)"


def test_arguments_stay_on_one_line_if_they_fit_there() -> None:
    node = call("function", LONG, Text("2"))

    assert laid_out("x = ", node) == f"x = function(\n    {LONG.text}, 2\n)"
    assert laid_out("x = ", call("function", LONG, LONG)) == f"x = function(\n    {LONG.text},\n    {LONG.text},\n)"


def test_what_is_inside_is_broken_in_turn() -> None:
    inside = Group("{", [Item(LONG, Text('"k"')), Item(Text("1"), Text('"l"'))], "}")
    node = Group("{", [Item(inside, Text('"inside"'))], "}")

    lines = ["x = {", '    "inside": {', f'        "k": {LONG.text},', '        "l": 1,', "    }", "}"]
    assert laid_out("x = ", node) == "\n".join(lines)


@pytest.mark.parametrize("node", [LONG, Name("n", "m" * 30), Group("{", [], "}")])
def test_what_can_not_be_broken_is_compared_in_brackets(node: Node) -> None:
    left = "trial.state(1)"
    text = Layout(lambda what: f"<{what}>").flat(node)

    wanted = f"    assert (\n        {left}\n        == {text}\n    )"
    assert laid_out(f"assert {left} == ", node, width=30, indent=4) == wanted


def test_the_comma_after_a_thing_needs_room_as_well() -> None:
    inside = collection("[", [Text("1" * 12)], "]")
    two = collection("[", [inside, inside], "]")

    assert laid_out("", two, width=19).splitlines()[1] == f"    [{12 * '1'}],"
    assert laid_out("", two, width=18).splitlines()[1:4] == ["    [", f"        {12 * '1'}", "    ],"]


def test_names_are_found_in_the_order_of_the_text() -> None:
    node = call(int, Name("a"), Group("{", [Item(Name("c"), Name("b"))], "}"), named=Name("d"))

    assert names_in(node) == [int, "a", "b", "c", "d"]
