"""`%qstate races`: calls as they are typed, outcomes as cards and lanes, and every text escaped."""

from __future__ import annotations

from typing import Any

import pytest
from support.markup import HOSTILE, seen_in
from support.shell import Shell

from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.errors import CommandError
from qstate_nb.notebook.races import checker, exploration_view, stepper_view, timeline_view
from qstate_nb.races import Exploration, explore

SETUP = """
from qstate_nb import AsyncState, InlineApp, State, StateRegistry
app = InlineApp(registry=StateRegistry())
class Account(AsyncState):
    balance: int = 100
@app.task
async def deposit(account: Account):
    await account.set("balance", await account.get("balance") + 10)
@app.task
async def withdraw(account: Account, amount: int, note: str = ""):
    if await account.get("balance") >= amount:
        await account.increment("balance", -amount)
        return "paid"
    return "refused"
"""


@pytest.fixture
def ready(shell: Shell) -> Shell:
    shell.good(SETUP)
    return shell


def bad(shell: Shell, line: str) -> str:
    """The error of a line, as it is shown."""
    return ": ".join(shell.fails(line))


def test_tasks_at_once(ready: Shell) -> None:
    text = ready.good("%qstate races deposit deposit")
    assert text.splitlines()[0] == "race: deposit #1 | deposit #2; 2 outcomes, all of 6 interleavings"
    assert text == ready.good("%qstate races deposit -n 2")
    assert ready.good("%qstate races deposit -n 2 -o r;") == ""
    assert isinstance(ready.names["r"], Exploration)
    assert ready.names["app"].registry.seq == 0


def test_arguments_a_check_and_an_order_of_words(ready: Shell) -> None:
    line = '%qstate races withdraw(amount=80) withdraw(50, note="a b") --check "Account.balance >= 0"'
    text = ready.good(line)
    assert text.startswith("check failed: withdraw(amount=80) | withdraw(amount=50, note='a b'); 3 outcomes")
    assert "Account.balance = -30" in text
    for check in ('Account["balance"] >= 0', "s['Account']['balance'] >= least", "not Account.nothing"):
        ready.good("least = 0")
        expected = "race" if "nothing" in check else "check failed"
        assert ready.good(f"%qstate races withdraw(80) withdraw(amount=50) --check {check!r}").startswith(expected)


def test_variables_are_arguments(ready: Shell) -> None:
    ready.good("n = 30")
    assert "withdraw(amount=30) #1" in ready.good("%qstate races withdraw(amount=n) withdraw(n)")
    assert "withdraw(amount=60)" in ready.good("%qstate races withdraw(n * 2)")


def test_it_begins_with_no_state_or_a_copy_of_what_there_is(ready: Shell) -> None:
    ready.good("await app.state(Account).set('balance', 5)")
    assert "Account.balance = 110" in ready.good("%qstate races deposit")
    assert "Account.balance = 15" in ready.good("%qstate races deposit --now")
    assert ready.good("%qstate get Account balance") == "5"


def test_limits(ready: Shell) -> None:
    assert "at most 0 preemptions" in ready.good("%qstate races deposit -n 2 --preemptions 0")
    assert ready.good("%qstate races deposit -n 2 --seconds 5").startswith("race")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("races", "usage: %qstate races TASK …"),
        ("races nope", "NotFoundError: no task 'nope'"),
        ("races withdraw", "ArgumentError: task 'withdraw' needs a value for: amount"),
        ("races withdraw(80", "')' is missing at the end"),
        ("races withdraw(80)x", "'withdraw(80)x' is no call of a task, such as withdraw(amount=80)"),
        ("races withdraw(**a)", "is no call of a task"),
        ("races withdraw(1, 2, 3)", "has too many arguments; the task is withdraw(amount: int, note: str = '')"),
        ("races withdraw(sum=1)", "no parameter of task 'withdraw' called 'sum'"),
        ("races withdraw('much')", "parameter 'amount: int': 'much' doesn't fit"),
        ("races withdraw(nope)", "name 'nope' is not defined"),
        ("races deposit -n 0", "it must be a whole number, 1 or more"),
        ("races deposit --preemptions -1", "it must be a whole number, 0 or more"),
        ("races deposit --seconds x", "it must be a number of seconds"),
        ("races deposit --check 'balance >='", "--check 'balance >=' is no expression"),
        ("races deposit --check 'nope > 1'", "the check raised NameError"),
        ("races deposit -o 1x", "that can't be the name of a variable"),
        ("races deposit --chek x", "did you mean '--check'"),
    ],
)
def test_wrong_lines(ready: Shell, line: str, problem: str) -> None:
    assert problem in bad(ready, f"%qstate {line}")


def test_a_check_is_of_states_and_scopes() -> None:
    state = {"Chat": {"a": 1}, "Chat[7]": {"n": 2}, "Chat[x]": {"n": 3}}
    assert checker("Chat.a == 1 and Chat[7].n == 2 and Chat['x'].n == 3", {})(state)
    assert not checker("Chat.missing", {})(state)
    assert checker("sum(s[name].get('n', 0) for name in s) == 5", {})(state)
    with pytest.raises(CommandError, match="is no expression"):
        checker("x = 1", {})


app = InlineApp(registry=StateRegistry())


class Account(AsyncState):
    balance: int = 100


class Evil(State):
    pass


@app.task
async def deposit(account: Account) -> None:
    await account.set("balance", await account.get("balance") + 10)


@app.task(name=HOSTILE)
def writes(state: Evil, text: str = HOSTILE) -> str:
    print(HOSTILE)
    if state.get(HOSTILE):
        raise ValueError(HOSTILE)
    state.set(HOSTILE, text)
    return HOSTILE


def test_cards_and_lanes() -> None:
    found = explore(deposit, n=2)
    view = exploration_view(found)
    assert view.text == repr(found).replace("(a share", "  a share").replace("alike likely)", "").rstrip(")")
    seen = seen_in(view.html)
    for expected in ("✗ race", "✓ safe", "4 of 6 schedules (67 %)", "is no probability", "State after the step"):
        assert expected in seen
    assert "step 4 overwrites what step 3 wrote" in seen
    assert "from here on, only bad outcomes" in seen
    assert "one after another: deposit #1, then deposit #2" in seen
    assert view.html == exploration_view(explore(deposit, n=2)).html
    assert view.data is found


def test_a_replay_shows_what_was_printed() -> None:
    def talks(account: Evil) -> None:
        account.get("x")
        print("hello")

    found = explore(talks, n=2)
    view = timeline_view(found.replay(found.outcomes[0]))
    assert "hello" in seen_in(view.html)
    assert "prints 'hello'" in view.text


@pytest.mark.parametrize("kind", ["exploration", "timeline", "replay", "stepper"])
def test_every_text_of_a_task_is_escaped(kind: str) -> None:
    found = explore(writes, n=2)
    views: dict[str, Any] = {
        "exploration": lambda: exploration_view(found),
        "timeline": lambda: timeline_view(found.timeline(found.outcomes[0])),
        "replay": lambda: timeline_view(found.replay(found.outcomes[0])),
        "stepper": lambda: stepper_view(found.step().choose(0)),
    }
    assert "alert(1)" in seen_in(views[kind]().html)


def test_long_schedules_and_many_outcomes_are_cut() -> None:
    async def notes(account: Account, me: int) -> None:
        await account.append("order", me)

    import functools

    found = explore(*(functools.partial(notes, me=me) for me in range(4)))
    assert (found.complete, len(found.outcomes)) == (True, 24)
    view = exploration_view(found)
    assert f"… and {len(found.outcomes) - 20} outcomes more" in view.text
    assert "outcomes more" in seen_in(view.html)

    async def long(account: Account) -> None:
        for number in range(190):
            await account.set("balance", number)

    found = explore(long, n=2)
    timeline = found.timeline(found.outcomes[0])
    assert "… 180 more steps" in seen_in(timeline_view(timeline).html)


def test_stepping_shows_choices_and_what_can_still_come() -> None:
    view = stepper_view(explore(deposit, n=2).step().choose(0).choose(1))
    assert "0: deposit #1: set Account.balance = 110 (1 outcome, 1 bad)" in view.text
    assert "✗ race" in seen_in(view.html)


def test_arguments_are_taken_as_they_are_typed(ready: Shell) -> None:
    ready.good("n = 3")
    ready.good(
        """
@app.task
def keeps(state: Kept, thing: object = None, *more: int, last: int = 0):
    state.set("kept", [thing, *more, last])
@app.task(name="my task")
def named(state: Kept, one: int, /, two: int = 2):
    state.set("kept", (one, two))
""".replace("@app", "class Kept(State): pass\n@app", 1)
    )
    for typed, kept in {
        'keeps("a  b")': "['a  b', 0]",
        'keeps(":)")': "[':)', 0]",
        "keeps(thing='(')": "['(', 0]",
        'keeps({"a": n})': "[{'a': 3}, 0]",
        "keeps({n})": "[{3}, 0]",
        'keeps(f"x{n}")': "['x3', 0]",
        "keeps(1, 2, n, last=4)": "[1, 2, 3, 4]",
        "'my task'(5)": "(5, 2)",
        "'my task'(5, two=n)": "(5, 3)",
    }.items():
        assert f"Kept.kept = {kept}" in ready.good(f"%qstate races {typed}")
    for typed, problem in {
        "withdraw(1, amount=2)": "gives 'amount' more than once",
        "withdraw(amount=1, amount=2)": "gives 'amount' more than once",
        "withdraw(1)(2)": "is no call of a task",
        "withdraw(*[1])": "is no call of a task",
        "keeps({[]: 1})": "fails with TypeError",
    }.items():
        assert problem in bad(ready, f"%qstate races {typed}")


def test_a_check_reads_the_bucket_that_it_names_and_fields_of_any_name() -> None:
    state: dict[str, dict[str, Any]] = {
        "Chat[42]": {"n": 1},
        "Chat['42']": {"n": 2},
        "Chat['a b']": {"n": 3},
        "Log": {"items": [1], "get": 5},
    }
    assert checker("Chat[42].n == 1 and Chat['42'].n == 2 and Chat['a b'].n == 3", {})(state)
    assert checker("len(Log.items) == 1 and Log.get == 5 and Log['items'] == [1]", {})(state)
    assert checker("Other.n is None", {}, ["Other"])(state)


def test_the_picture_has_arrows_switches_state_and_the_decisive_line() -> None:
    html = timeline_view(explore(deposit, n=2).timeline(explore(deposit, n=2).outcomes[0])).html
    bad, serial = html.split("one after another", 1)
    assert [bad.count(f'class="{name}"') for name in ("stale", "preempts", "switch", "decisive")] == [1, 1, 1, 1]
    assert [serial.count(f'class="{name}"') for name in ("stale", "preempts", "switch", "decisive")] == [0, 0, 1, 0]
    assert bad.count('stroke:var(--jp-error-color1,#b00020);stroke-width:2"/>') == 2  # the box, and the arrow
    assert bad.count("Account.balance: 100 → 110") == 1
    assert serial.count("Account.balance: 110 → 120") == 1


def test_only_the_first_bad_outcomes_are_drawn() -> None:
    async def adds(account: Account) -> None:
        await account.set("balance", await account.get("balance") + 1)

    html = exploration_view(explore(adds, n=6)).html
    assert html.count('class="qstate-outcome"') == 6
    assert html.count("<details") == 4


class Loud:
    def __init__(self) -> None:
        self.content = 1

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_a_value_whose_repr_fails_can_be_shown() -> None:
    def keeps(state: Evil, number: int) -> Loud:
        state.set("loud", Loud())
        state.set("n", number)
        return Loud()

    import functools

    found = explore(*(functools.partial(keeps, number=number) for number in (1, 2)))
    assert "whose repr fails" in exploration_view(found).text
    assert "whose repr fails" in seen_in(exploration_view(found).html)
