"""`%qstate` and `%%qstate`: parse a line, call one command, show its result.

    line ─► arguments.split ─► verbs ─► commands ─► View, value or message

A cell of `%%qstate` is one such line after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display
from traitlets import Int

from qstate_nb.app import InlineApp, Scenario, TaskResult
from qstate_nb.app.replaying import Replay
from qstate_nb.core.diff import Diff
from qstate_nb.core.formats import one_line
from qstate_nb.core.history import History, Snapshot
from qstate_nb.core.journal import Actor, current_actor
from qstate_nb.errors import CommandError, QStateError
from qstate_nb.notebook import apps, commands, past, races, scenarios, stores, views
from qstate_nb.notebook.arguments import Given, convert, split
from qstate_nb.notebook.completion import candidates, command_before
from qstate_nb.notebook.line import Line
from qstate_nb.notebook.render import View
from qstate_nb.notebook.verbs import HelpRequested, find_verb, help_view
from qstate_nb.races import Exploration, Stepper, Timeline

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import ExecutionInfo

    from qstate_nb.notebook.panel import Panel

Shell: TypeAlias = Any  # an IPython shell; IPython's own types are partial


@magics_class
class QStateMagics(Magics):
    """The magic and its settings: ``%config QStateMagics.last_events = 10``."""

    last_events = Int(5, min=0, help="How many of the last events the overview shows.").tag(config=True)
    max_rows = Int(100, min=1, help="How many rows of a table are shown.").tag(config=True)
    value_width = Int(80, min=10, help="How many characters of a value are shown.").tag(config=True)

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self._shell = shell
        self.chosen: str | None = None  # the variable of the app in use
        self.panels: dict[str, Panel] = {}  # by the variable of their app

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def qstate(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Show and change State, and run tasks."""
        local = local_ns or {}
        try:
            if cell is None:
                return self._execute(line, {**self._shell.user_ns, **local})
            if line.split()[:1] == ["scenario"]:
                return self._run_scenario(line, cell)
            for each in [line, *cell.split("\n")]:
                if each.strip() and not each.lstrip().startswith("#"):
                    _display(self._execute(each, {**self._shell.user_ns, **local}))
        except QStateError as error:
            raise _shown_on_one_line(error) from None
        return None

    qstate.__doc__ = f"{qstate.__doc__}\n\n{help_view()}"  # for %qstate?

    def _execute(self, line: str, names: dict[str, Any]) -> Any:
        """Do what one line says; the result is what a cell shows."""
        stripped = line.strip()
        with stores.unshown(stripped.split()):
            words = split(stripped.rstrip(";"), has_calls=stripped.startswith("races"))
        result = self._command(words, names)
        if stripped.endswith(";"):
            return None
        if isinstance(result, str):
            print(result)
            return None
        return result.value if isinstance(result, Given) else result

    def _command(self, words: Sequence[str], names: dict[str, Any]) -> Given | View | Panel | str:
        if not words:
            return commands.overview(self.app(names), self._limits)
        if words[0] in ("-h", "--help"):
            return help_view()
        verb = find_verb(words[0])
        try:
            with stores.unshown(words):
                given = verb.parse(words[1:])
        except HelpRequested:
            return help_view(verb.name)
        return _HANDLERS[verb.name](self, Line(verb, given, names))

    def _run_scenario(self, line: str, cell: str) -> None:
        """Run a cell as a scenario, show it, and raise what was wrong."""
        names, words = self._shell.user_ns, split(line.strip().rstrip(";"))
        try:
            verb = find_verb(words[0])
            given = Line(verb, verb.parse(words[1:]), names)
        except HelpRequested:
            return _display(help_view(words[0]))
        if given.maybe("name") is None:
            raise CommandError("a scenario needs a name: %%qstate scenario signup")
        source = self._shell.transform_cell(cell)
        app, output = self.app(names), given.variable("o")
        done = scenarios.run_cell(app, given["name"], source, names, fresh=given.option("fresh"), typed=cell)
        if output is not None:
            names[output] = done
        if not line.rstrip().endswith(";"):
            _display(scenarios.scenario_view(done, self._limits))
        done.check()
        return None

    def app(self, names: Mapping[str, Any]) -> InlineApp:
        """The app in use."""
        app: InlineApp = names[apps.current_name(names, self.chosen)]
        return app

    @property
    def _limits(self) -> views.Limits:
        return views.Limits(self.value_width, self.max_rows, self.last_events)

    @context_matcher(identifier="qstate_nb")  # type: ignore[untyped-decorator]
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Offer what can come next in a line of ``%qstate``; where that is something, nothing else."""
        command = command_before(context.line_with_cursor[: context.cursor_position], context.full_text)
        if command is None:
            return {"completions": []}
        names = self._shell.user_ns
        word, found = candidates(command, names, lambda: self.app(names))
        return {
            "completions": [SimpleCompletion(text, type="qstate") for text in found],
            "suppress": True,
            "matched_fragment": word,
        }

    def enter_cell(self, info: ExecutionInfo) -> None:
        """Let events say which cell they come from, if it has a number."""
        # Not execution_count, which from IPython 9.8 on is that of the next cell by now.
        number = self._shell.displayhook.prompt_count if info.store_history else None
        current_actor.set(Actor(cell=number))

    def leave_cell(self, _: object) -> None:
        """What comes between cells is of no cell."""
        current_actor.set(Actor())

    def _app_and_state(self, given: Line) -> tuple[InlineApp, str]:
        app, name = self.app(given.names), given["state"]
        apps.introduce_state(app, given.names, name)
        return app, name

    def _show(self, given: Line) -> View:
        app, name = self._app_and_any_state(given)
        moment = given.moment("at")
        if moment is not None:
            return past.show_at(app, moment, name, self._limits)
        return commands.show(app, name, self._limits)

    def _app_and_any_state(self, given: Line) -> tuple[InlineApp, str | None]:
        app, name = self.app(given.names), given.maybe("state")
        if name is not None:
            apps.introduce_state(app, given.names, name)
        return app, name

    def _history(self, given: Line) -> View:
        app, name = self._app_and_any_state(given)
        return past.history(
            app,
            name,
            n=given.option("n"),
            task=given.maybe("task"),
            key=given.maybe("key"),
            times=given.option("times"),
            limits=self._limits,
        )

    def _diff(self, given: Line) -> View:
        a = given.moment("a")
        assert a is not None
        return past.diff(self.app(given.names), a, given.moment("b"), self._limits)

    def _blame(self, given: Line) -> View:
        return past.blame(*self._app_and_state(given), self._limits)

    def _undo(self, given: Line) -> str:
        by: Literal["event", "call"] = "event" if given.option("event") else "call"
        return past.undo(self.app(given.names), given.count("n"), by=by)

    def _redo(self, given: Line) -> str:
        return past.redo(self.app(given.names), given.count("n"))

    def _rewind(self, given: Line) -> str:
        moment = given.moment("moment")
        assert moment is not None
        return past.rewind(self.app(given.names), moment)

    def _label(self, given: Line) -> str:
        return past.label(self.app(given.names), given["name"])

    def _fork(self, given: Line) -> str:
        name = given.variable("o")
        if name is None:
            raise CommandError("a fork needs a variable: %qstate fork -o trial")
        current = apps.current_name(given.names, self.chosen)
        if name == current:
            raise CommandError(f"-o {name}: that is the app itself; give the fork another name")
        app: InlineApp = given.names[current]
        made = app.fork(given.moment("moment"), name=name)
        self._shell.user_ns[name] = made
        self.chosen = current  # of two apps now
        return f"{name} is a fork of {current} after event {made.registry.seq}; %qstate app {name} chooses it"

    def _save(self, given: Line) -> str:
        return past.save(self.app(given.names), given["file"])

    def _load(self, given: Line) -> str:
        return past.load(self.app(given.names), given["file"])

    def _get(self, given: Line) -> Given:
        return Given(commands.get(*self._app_and_state(given), given["key"]))

    def _set(self, given: Line) -> str:
        return commands.set_value(*self._app_and_state(given), given["key"], given.value("value"))

    def _update(self, given: Line) -> str:
        values = {name: value.value for name, value in given.pairs().items()}
        return commands.update(*self._app_and_state(given), values)

    def _incr(self, given: Line) -> str:
        return commands.increment(*self._app_and_state(given), given["key"], given.literal("by", 1))

    def _append(self, given: Line) -> str:
        return commands.append(*self._app_and_state(given), given["key"], given.value("value"))

    def _drop(self, given: Line) -> str:
        return commands.drop(*self._app_and_state(given))

    def _delete(self, given: Line) -> str:
        return commands.delete(*self._app_and_state(given), given["key"])

    def _clear(self, given: Line) -> str:
        return commands.clear(*self._app_and_state(given))

    def _tasks(self, given: Line) -> View:
        return commands.tasks(self.app(given.names), self._limits)

    def _run(self, given: Line) -> str:
        app = self.app(given.names)
        task = app.find(given["task"])
        pairs = given.pairs()
        named = {name: task.parameter(name) for name in pairs}
        values = {name: convert(named[name], value, task.name) for name, value in pairs.items()}
        output = given.variable("o")
        report = commands.run(
            app,
            task.name,
            values,
            times=given.option("times"),
            concurrent=given.option("concurrent"),
            timeout=given.option("timeout"),
            limits=self._limits,
        )
        if output is not None:
            self._shell.user_ns[output] = report.results[0] if len(report.results) == 1 else report.results
        return report.text

    def _races(self, given: Line) -> View:
        app, check, output = self.app(given.names), given.quoted("check"), given.variable("o")
        calls = [races.parsed_call(app, word, given.evaluate) for word in given.words("task")]
        found = races.races(
            app,
            calls,
            n=given.option("n"),
            check=check,
            names=given.names,
            now=given.option("now"),
            preemptions=given.option("preemptions"),
            max_seconds=given.option("seconds"),
        )
        if output is not None:
            self._shell.user_ns[output] = found.data
        return found

    def _scenario(self, given: Line) -> View:
        app, name, output = self.app(given.names), given.maybe("name"), given.variable("o")
        if given.option("fresh"):
            raise CommandError("--fresh needs steps to run: begin the cell with %%qstate scenario, with two %")
        if name is None:
            return scenarios.listing(app)
        found = scenarios.find(app, name)
        if output is not None:
            self._shell.user_ns[output] = found
        return scenarios.scenario_view(found, self._limits)

    def _record(self, given: Line) -> str:
        return scenarios.record(self.app(given.names), given["name"])

    def _stop(self, given: Line) -> View:
        return scenarios.scenario_view(scenarios.stop(self.app(given.names)), self._limits)

    def _app(self, given: Line) -> View:
        name = given.maybe("name")
        if name is not None:
            self.chosen = apps.checked_name(given.names, name)
        return commands.app_list(apps.apps_in(given.names), self.app(given.names))

    def _use(self, given: Line) -> View | str:
        url = given.hidden("url")
        app = self.app(given.names) if apps.apps_in(given.names) else None
        return stores.store_view(app) if url is None else stores.use(app, url)

    def _panel(self, given: Line) -> Panel:
        if getattr(self._shell, "kernel", None) is None:
            raise CommandError(
                "the panel needs a notebook, such as JupyterLab; in a terminal use %qstate show and %qstate run"
            )
        from qstate_nb.notebook.panel import open_panel

        name = apps.current_name(given.names, self.chosen)
        app, old = given.names[name], self.panels.get(name)
        if old is not None and not old.closed and old.app is app:
            return old  # shown twice, it is still one panel
        if old is not None:
            old.close()
        self.panels[name] = open_panel(app)
        return self.panels[name]

    def _help(self, given: Line) -> View:
        return help_view(given.maybe("verb"))


_HANDLERS: dict[str, Callable[[QStateMagics, Line], Given | View | Panel | str]] = {
    "show": QStateMagics._show,
    "get": QStateMagics._get,
    "set": QStateMagics._set,
    "update": QStateMagics._update,
    "incr": QStateMagics._incr,
    "append": QStateMagics._append,
    "delete": QStateMagics._delete,
    "clear": QStateMagics._clear,
    "drop": QStateMagics._drop,
    "history": QStateMagics._history,
    "diff": QStateMagics._diff,
    "blame": QStateMagics._blame,
    "undo": QStateMagics._undo,
    "redo": QStateMagics._redo,
    "rewind": QStateMagics._rewind,
    "label": QStateMagics._label,
    "fork": QStateMagics._fork,
    "save": QStateMagics._save,
    "load": QStateMagics._load,
    "tasks": QStateMagics._tasks,
    "run": QStateMagics._run,
    "races": QStateMagics._races,
    "scenario": QStateMagics._scenario,
    "record": QStateMagics._record,
    "stop": QStateMagics._stop,
    "app": QStateMagics._app,
    "use": QStateMagics._use,
    "panel": QStateMagics._panel,
    "help": QStateMagics._help,
}


def _display(result: object) -> None:
    if result is not None:
        display(result)  # type: ignore[no-untyped-call]


def _shown_on_one_line(error: QStateError) -> QStateError:
    """The same error, for which IPython shows one line in place of a traceback."""
    line = one_line(f"{type(error).__name__}: {error}")
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return error


def load(shell: Shell) -> None:
    """Add to a shell the magic, its completion, the cell numbers of events, and HTML for results."""
    unload(shell)
    magics = QStateMagics(shell)
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", magics.enter_cell)
    shell.events.register("post_run_cell", magics.leave_cell)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(magics.complete)
    for cls, show in _SHOWN:
        _html_formatter(shell).for_type(cls, lambda thing, show=show: show(thing).html)


def unload(shell: Shell) -> None:
    """Take away what `load` added."""
    magics = shell.magics_manager.registry.pop(QStateMagics.__name__, None)
    if not isinstance(magics, QStateMagics):
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("qstate", None)
    shell.configurables.remove(magics)
    for panel in magics.panels.values():
        panel.close()
    magics.leave_cell(None)  # which would not hear of the end of this cell
    shell.events.unregister("pre_run_cell", magics.enter_cell)
    shell.events.unregister("post_run_cell", magics.leave_cell)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.remove(magics.complete)
    for cls, _ in _SHOWN:
        _html_formatter(shell).pop(cls, None)


def _html_formatter(shell: Shell) -> Any:
    return shell.display_formatter.formatters["text/html"]


_SHOWN: list[tuple[type, Callable[[Any], View]]] = [
    (TaskResult, lambda result: View(views.result_blocks(result, views.Limits()))),
    (InlineApp, commands.overview),
    (History, past.history_view),
    (Diff, past.diff_view),
    (Snapshot, past.snapshot_view),
    (Scenario, scenarios.scenario_view),
    (Replay, scenarios.replay_view),
    (Exploration, races.exploration_view),
    (Timeline, races.timeline_view),
    (Stepper, races.stepper_view),
]
