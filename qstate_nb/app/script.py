"""A scenario that is written as Python: each top-level statement is a step.

    source ─► statements ─► each: compile, run, await ─► Step

The statements run in the caller's namespace, as those of a notebook cell do; `expect`, `expect_result` and
`concurrently` are there as well. A coroutine that stands alone is awaited.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import linecache
import operator
import re
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import msgspec

from qstate_nb.app.checks import check_result, check_state, differences
from qstate_nb.app.inline import InlineApp, keep_stand_ins, stand_in
from qstate_nb.app.output import Output, Printer, capture, release
from qstate_nb.app.recording import Noted, Recording
from qstate_nb.app.result import TaskResult
from qstate_nb.app.scenario import Pending, Scenario, ended, lost, spanning
from qstate_nb.app.steps import Act, Check, Step, StepStatus, Together
from qstate_nb.core.formats import counted, short
from qstate_nb.core.journal import ABSENT, Actor, Contents, current_actor
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.core.timetravel import StateLike
from qstate_nb.errors import ScenarioError

Namespace: TypeAlias = dict[str, Any]

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_AWAITED = ("expect_result", "concurrently")
_TAKES_AWAITABLES = ("concurrently", "gather", "create_task", "ensure_future", "wait_for", "shield")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.GeneratorExp)
_COMPARED: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Is: ("is", operator.is_),
    ast.IsNot: ("is not", operator.is_not),
    ast.In: ("in", lambda item, container: item in container),
    ast.NotIn: ("not in", lambda item, container: item not in container),
}
_files = itertools.count(1)


async def concurrently(*calls: Any) -> list[Any]:
    """Run calls at once, and wait for all of them.

    Returns:
        What they returned, in the order in which they were given.

    Raises:
        Exception: what the first of them raised that failed, after the others have ended.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def run_script(
    app: InlineApp,
    name: str,
    source: str,
    namespace: Namespace,
    *,
    fresh: bool = False,
    typed: str | None = None,
) -> Scenario:
    """Run Python statements as the steps of a scenario, up to the first error.

    Args:
        source: the statements.
        namespace: the variables; what the statements assign is there afterwards.
        fresh: whether to work on empty State that nobody else sees, in place of the app's.
        typed: the statements as they were typed, line by line, if *source* was made from that.

    Returns:
        The scenario; the app knows it, too. `Scenario.check` raises if it has not passed.

    Raises:
        ScenarioError: *source* is no Python, or has no statements.
    """
    script = _Script(name, source, source if typed is None else typed)
    real = app.registry
    seq, running = real.seq, {*real.running()}
    with ExitStack() as stack:
        where = stack.enter_context(_on_fresh_state(app, namespace)) if fresh else app
        made = await script.run(where, namespace)
    leaks = _leaks(real, seq, running) if fresh else []
    scenario = Scenario(app, name, start=script.start, steps=made, notes=[*script.notes, *leaks])
    scenario.unrepeatable = script.unrepeatable
    app.scenarios[name] = scenario
    return scenario


def _leaks(registry: StateRegistry, seq: int, running: Container[str]) -> list[str]:
    """Say so if the real State has changed after all, by others here than calls that ran before."""
    events = registry.history(since=seq + 1) if registry.seq > seq else ()
    found = [event for event in events if event.actor.host is None and str(event.actor) not in running]
    if not found:
        return []
    return [
        (
            f"{counted(len(found), 'change')} of the real State meanwhile, the first of {found[0].states[0]} by "
            f"{found[0].actor}: what was made outside of the cell, such as a State object or a thread, works there"
        )
    ]


@contextmanager
def _on_fresh_state(app: InlineApp, namespace: Namespace) -> Iterator[InlineApp]:
    """Let twins with empty State stand in for the app, and for others on its State, also in what is left running.

    Meanwhile, State objects among the variables are the twin's.
    """
    fresh, real = StateRegistry(), app.registry
    twins: dict[InlineApp, InlineApp] = {}

    def find(asked: InlineApp) -> InlineApp:
        if asked._registry is not real:
            return asked
        if asked not in twins:
            twins[asked] = asked.twin(fresh, name=asked.name, adopts=True)
        return twins[asked]

    twin = find(app)
    mine = {
        name: value
        for name, value in namespace.items()
        if issubclass(type(value), StateBase) and real.bucket(value._bucket.key) is value._bucket
    }
    theirs = {name: twin.state(type(value), value._bucket.key.scope) for name, value in mine.items()}
    namespace.update(theirs)
    keep_stand_ins()
    token = stand_in.set(find)
    try:
        yield twin
    finally:
        stand_in.reset(token)
        namespace.update({name: value for name, value in mine.items() if namespace.get(name) is theirs[name]})


class _Script:
    """Statements, and what running them has come to."""

    def __init__(self, name: str, source: str, typed: str) -> None:
        self.name = name
        self.file = f"<scenario {name} {next(_files)}>"
        try:
            tree = ast.parse(source, self.file)
            compile(tree, self.file, "exec", _AWAIT, dont_inherit=True)  # all that is wrong, before anything is run
        except (SyntaxError, ValueError) as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            raise ScenarioError(f"scenario {name!r} is no Python{line}: {error.args[0]}") from None
        if not tree.body:
            raise ScenarioError(f"scenario {name!r} has no steps; write them below it: await step1()")
        self._statements = [(node, _text_of(node, source, typed)) for node in tree.body]
        # so that tracebacks, and inspect.getsource, find the lines
        linecache.cache[self.file] = (len(source), None, source.splitlines(keepends=True), self.file)
        self.start: Contents = {}
        self._acts: list[Act] = []
        self._checks: list[Check] = []
        self._pending: list[Pending] = []
        self.notes: list[str] = []
        self.unrepeatable = ""

    async def run(self, app: InlineApp, namespace: Namespace) -> list[Step]:
        """Run the statements, and tell what each has done."""
        self._app = app
        self.start = app.registry.at().contents
        recording = self._recording = Recording(app, self._note)
        steps: list[Step] = []
        try:
            with self._helpers(namespace):
                for node, text in self._statements:
                    stopped = bool(steps) and steps[-1].status in ("error", "not run")
                    number = len(steps) + 1
                    if stopped:
                        steps.append(Step(number, text, "not run"))
                    else:
                        steps.append(await self._step(number, node, text, namespace))
        finally:
            recording.close()
            self.notes = lost(recording)
        return steps

    def _note(self, noted: Noted) -> None:
        self._acts += noted.acts

    def _note_check(self, check: Check) -> None:
        self._checks.append(msgspec.structs.replace(check, place=len(self._acts)))

    async def _step(self, number: int, node: ast.stmt, text: str, namespace: Namespace) -> Step:
        registry = self._app.registry
        before = registry.at()
        self._acts, self._checks, self._pending = [], [], []
        printer = _Overheard()
        returned, error = ABSENT, None
        capture(printer)
        try:
            returned = await self._run(node, namespace)
        except (Exception, SystemExit) as caught:
            error = caught
        finally:
            release(printer)
        for pending in self._pending:
            if not pending.was_awaited:
                pending.close()
                self._note_check(pending.missed())
        self.unrepeatable = self.unrepeatable or spanning(self.name, self._recording.open_calls, number)
        self._recording.settle()
        status: StepStatus = "error" if error else "passed" if all(c.passed for c in self._checks) else "failed"
        return Step.between(
            before,
            registry.at(),
            number,
            text,
            status=status,
            acts=tuple(self._acts),
            checks=tuple(self._checks),
            returned=returned,
            error=error,
            output=printer.text,
        )

    async def _run(self, node: ast.stmt, namespace: Namespace) -> Any:
        if isinstance(node, ast.Assert):
            self._note_check(await self._asserted(node, namespace))
            return None
        if isinstance(node, ast.Expr):
            value = await self._value(node.value, namespace)
            return await value if inspect.iscoroutine(value) else value
        await self._evaluated(ast.Module([_Awaits().visit(node)], type_ignores=[]), "exec", namespace)
        return ABSENT

    async def _value(self, node: ast.expr, namespace: Namespace) -> Any:
        return await self._evaluated(ast.Expression(_Awaits().visit(node)), "eval", namespace)

    async def _evaluated(self, tree: Any, mode: str, namespace: Namespace) -> Any:
        code = compile(ast.fix_missing_locations(tree), self.file, mode, _AWAIT, dont_inherit=True)
        value = eval(code, namespace)  # noqa: S307 - the user's own cell
        return await value if code.co_flags & inspect.CO_COROUTINE else value

    async def _asserted(self, node: ast.Assert, namespace: Namespace) -> Check:
        """Check what ``assert`` says; both sides of a comparison are shown."""
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            left = await self._value(test.left, namespace)
            right = await self._value(test.comparators[0], namespace)
            sign, compare = _COMPARED[type(test.ops[0])]
            holds = bool(compare(left, right))
            side = ast.unparse(test.left)
            side = f"({side})" if isinstance(test.left, ast.Await) else side
            problems = differences(side, right, left) if sign == "==" else []
            problems = problems or [f"{side}: expected {sign} {short(right)}, it is {short(left)}"]
        else:
            value = await self._value(test, namespace)
            holds, problems = bool(value), [f"{ast.unparse(test)}: expected to be true, it is {short(value)}"]
        if not holds and node.msg is not None:
            problems.append(str(await self._value(node.msg, namespace)))
        return Check(ast.unparse(node), () if holds else problems)

    @contextmanager
    def _helpers(self, namespace: Namespace) -> Iterator[None]:
        """Have the scenario's own functions among the variables; what had their names comes back."""
        helpers = {
            "expect": self._expect,
            "expect_result": self._expect_result,
            "concurrently": self._concurrently,
        }
        old = {name: namespace[name] for name in helpers if name in namespace}
        namespace.update(helpers)
        try:
            yield
        finally:
            for name, helper in helpers.items():
                if namespace.get(name) == helper:
                    del namespace[name]
            namespace.update({name: value for name, value in old.items() if name not in namespace})

    def _expect(self, state: StateLike, values: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        self._recording.settle()
        self._note_check(check_state(self._app.registry, state, {**(values or {}), **fields}))

    async def _concurrently(self, *calls: Any) -> list[Any]:
        with self._recording.together():
            return await concurrently(*calls)

    def _expect_result(
        self, call: Any, expected: Any = ..., /, *, raises: type[BaseException] | None = None
    ) -> Pending:
        pending = Pending(self._result_checked(call, expected, raises), call)
        self._pending.append(pending)
        return pending

    async def _result_checked(self, call: Any, expected: Any, raises: type[BaseException] | None) -> Any:
        result = await ended(call)
        act = self._acts[-1] if self._acts and inspect.iscoroutine(call) else None
        what = str(act.calls[0]) if isinstance(act, Together) else "result"
        self._note_check(check_result(what, result, expected, raises))
        return result.returning if isinstance(result, TaskResult) else result


class _Overheard:
    """Gets all that a step prints, and what its calls do; nothing of it is shown meanwhile."""

    def __init__(self) -> None:
        self.actor: Actor = current_actor.get()
        self.echo = False
        self.outer: tuple[Actor, Printer | None] | None = None
        self._output = Output()

    def write(self, text: str, /) -> None:
        self._output.write(text)

    overhear = write

    @property
    def text(self) -> str:
        return self._output.text


class _Awaits(ast.NodeTransformer):
    """Awaits what has to be, where it was not written: not inside functions."""

    def visit(self, node: ast.AST) -> Any:
        return node if isinstance(node, _SCOPES) else super().visit(node)

    def visit_Await(self, node: ast.Await) -> ast.expr:
        inner = node.value
        if isinstance(inner, ast.Call):
            self._visit_inside(inner)
            return inner if _calls(inner, "expect") else node
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self._visit_inside(node)
        return ast.copy_location(ast.Await(node), node) if _calls(node, *_AWAITED) else node

    def _visit_inside(self, node: ast.Call) -> None:
        """What is given to `concurrently` or to asyncio is awaited there."""
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = [arg for arg in node.args if isinstance(arg, ast.Call) and _calls(arg, *_AWAITED)]
        if name in _TAKES_AWAITABLES and given:
            node.args = [arg if arg in given else self.visit(arg) for arg in node.args]
            for arg in given:
                self._visit_inside(arg)
        else:
            self.generic_visit(node)


def _text_of(node: ast.stmt, source: str, typed: str) -> str:
    """A statement as it was typed, with its decorators; if that can't be told, as it is run."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    run = ast.get_source_segment(source, node) or ""
    if first < node.lineno:
        run = "\n".join(source.split("\n")[first - 1 : node.end_lineno])
    lines, run_lines = _without_first_blanks(typed), _without_first_blanks(source)  # IPython takes them away
    if run in typed or len(lines) != len(run_lines):
        return run
    skipped = len(source.rstrip("\n").split("\n")) - len(run_lines)
    return "\n".join(lines[first - 1 - skipped : (node.end_lineno or first) - skipped])


def _without_first_blanks(text: str) -> list[str]:
    return re.sub(r"^(\s*\n)+", "", text.rstrip("\n")).split("\n")


def _calls(node: ast.Call, *names: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in names
