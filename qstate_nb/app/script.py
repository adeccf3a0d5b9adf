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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

from qstate_nb.app.checks import check_result, check_state, differences
from qstate_nb.app.inline import InlineApp, stand_in, stand_ins_used
from qstate_nb.app.output import Output, Printer, capture, release
from qstate_nb.app.recording import Noted, Recording
from qstate_nb.app.result import TaskResult
from qstate_nb.app.scenario import Scenario, ended
from qstate_nb.app.steps import Act, Check, Step, StepStatus, Together
from qstate_nb.core.diff import diff
from qstate_nb.core.formats import counted, short
from qstate_nb.core.journal import ABSENT, Actor, current_actor
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.core.timetravel import StateLike
from qstate_nb.errors import ScenarioError

Namespace: TypeAlias = dict[str, Any]

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_AWAITED = ("expect_result", "concurrently")
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
    script = _Script(app, name, source, source if typed is None else typed)
    seq = app.registry.seq
    with ExitStack() as stack:
        where = stack.enter_context(_on_fresh_state(app, namespace)) if fresh else app
        made = await script.run(where, namespace)
    scenario = Scenario(app, name, start=script.start, steps=made, notes=_leaks(app.registry, seq) if fresh else ())
    app.scenarios[name] = scenario
    return scenario


def _leaks(registry: StateRegistry, seq: int) -> list[str]:
    """Say so if the statements have changed the real State after all."""
    if registry.seq == seq:
        return []
    mine = current_actor.get()
    found = [event for event in registry.history(since=seq + 1) if event.actor == mine]
    if not found:
        return []
    changes = counted(len(found), "change")
    return [
        (
            f"{changes} of the real State: {found[0].states[0]} was written to by an object that was made outside of "
            "the cell; in the cell, app.state(…) gives one that works on the scenario's own State"
        )
    ]


@contextmanager
def _on_fresh_state(app: InlineApp, namespace: Namespace) -> Iterator[InlineApp]:
    """Let a twin with empty State stand in for the app; meanwhile, State objects among the variables are its own."""
    twin = app.twin(StateRegistry(), name=app.name, adopts=True)
    mine = {
        name: value
        for name, value in namespace.items()
        if issubclass(type(value), StateBase) and app.registry.bucket(value._bucket.key) is value._bucket
    }
    theirs = {name: twin.state(type(value), value._bucket.key.scope) for name, value in mine.items()}
    namespace.update(theirs)
    token = stand_in.set(lambda asked: twin if asked is app else asked)
    try:
        with stand_ins_used():
            yield twin
    finally:
        stand_in.reset(token)
        namespace.update({name: value for name, value in mine.items() if namespace.get(name) is theirs[name]})


class _Script:
    """Statements, and what running them has come to."""

    def __init__(self, app: InlineApp, name: str, source: str, typed: str) -> None:
        self.name = name
        self.file = f"<scenario {name} {next(_files)}>"
        try:
            tree = ast.parse(source, self.file)
        except (SyntaxError, ValueError) as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            raise ScenarioError(f"scenario {name!r} is no Python{line}: {error.args[0]}") from None
        if not tree.body:
            raise ScenarioError(f"scenario {name!r} has no steps; write them below it: await step1()")
        self._statements = [(node, _text_of(node, source, typed.split("\n"))) for node in tree.body]
        # so that tracebacks, and inspect.getsource, find the lines
        linecache.cache[self.file] = (len(source), None, source.splitlines(keepends=True), self.file)
        self.start = app.registry.at().contents
        self._acts: list[Act] = []
        self._checks: list[Check] = []

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
        return steps

    def _note(self, noted: Noted) -> None:
        self._acts.append(noted.act)

    async def _step(self, number: int, node: ast.stmt, text: str, namespace: Namespace) -> Step:
        registry = self._app.registry
        before = registry.at()
        self._acts, self._checks = [], []
        printer = _Overheard()
        returned, error = ABSENT, None
        capture(printer)
        try:
            returned = await self._run(node, namespace)
        except (Exception, SystemExit) as caught:
            error = caught
        finally:
            release(printer)
        self._recording.settle()
        after = registry.at()
        change = diff(before.complete(), after.complete())
        status: StepStatus = "error" if error else "passed" if all(c.passed for c in self._checks) else "failed"
        return Step(
            number,
            text,
            status,
            tuple(self._acts),
            tuple(self._checks),
            returned,
            error,
            printer.text,
            change,
            {each.state: after.contents.get(each.state, {}) for each in change},
        )

    async def _run(self, node: ast.stmt, namespace: Namespace) -> Any:
        if isinstance(node, ast.Assert):
            self._checks.append(await self._asserted(node, namespace))
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
        self._checks.append(check_state(self._app.registry, state, {**(values or {}), **fields}))

    async def _concurrently(self, *calls: Any) -> list[Any]:
        with self._recording.together():
            return await concurrently(*calls)

    async def _expect_result(
        self, call: Any, expected: Any = ..., /, *, raises: type[BaseException] | None = None
    ) -> Any:
        result = await ended(call)
        act = self._acts[-1] if self._acts and inspect.iscoroutine(call) else None
        what = str(act.calls[0]) if isinstance(act, Together) else "result"
        self._checks.append(check_result(what, result, expected, raises))
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
            self.generic_visit(inner)
            return inner if _calls(inner, "expect") else node
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        return ast.copy_location(ast.Await(node), node) if _calls(node, *_AWAITED) else node


def _text_of(node: ast.stmt, source: str, typed: Sequence[str]) -> str:
    """A statement as it was typed."""
    text = ast.get_source_segment(source, node) or ""
    if text in "\n".join(typed):
        return text
    return "\n".join(typed[node.lineno - 1 : node.end_lineno])


def _calls(node: ast.Call, *names: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in names
