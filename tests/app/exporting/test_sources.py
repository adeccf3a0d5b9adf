"""What a written module needs to run tasks: imports, or source that is carried."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from types import ModuleType
from typing import Any

import pytest
from support.cells import FakeNotebook

from qstate_nb.app.exporting.sources import Sources
from qstate_nb.errors import ScenarioError

START = """
import asyncio
from qstate_nb import AsyncState, InlineApp, State
app = InlineApp("signup")
class Signup(AsyncState):
    pass
"""


def carried(notebook: FakeNotebook, *tasks: str) -> str:
    """The text that carries tasks; it runs by itself, and has them."""
    sources = Sources(notebook["app"].tasks)
    for task in tasks:
        sources.add_task(notebook[task])
    sources.settle()
    text = sources.text()
    module = sys.modules["carried"] = ModuleType("carried")
    try:
        exec(compile(text, "carried", "exec"), vars(module))
    finally:
        del sys.modules["carried"]
    for task in tasks:
        assert getattr(module, sources.name(notebook[task])).name == notebook[task].name
    return text


def dedented(text: str) -> str:
    return textwrap.dedent(text).strip()


def test_tasks_of_a_module_are_imported(shop: Any) -> None:
    sources = Sources(shop.app.tasks)
    sources.add_task(shop.begin)
    sources.add_task(shop.app.fork().tasks["loud"])
    for unused in (shop.Order, shop.Plan):
        sources.add(unused, "a value")
    sources.settle()

    assert [sources.name(each) for each in (shop.begin, shop.Order)] == ["begin", "Order"]
    assert sources.app_of(shop.begin) == "app"
    assert sources.text() == "from shop.tasks import Order, app, begin"


def test_without_a_name_for_the_app_it_is_that_of_a_task(shop: Any) -> None:
    del shop.app
    sources = Sources(shop.begin.app.tasks)
    sources.add_task(shop.begin)

    assert sources.app_of(shop.begin) == "begin.app"


def test_tasks_of_a_notebook_are_carried_with_what_they_use(notebook: FakeNotebook) -> None:
    notebook.run(
        START,
        """
        import datetime as dt
        from typing import Literal
        LIMIT = 60 * 60
        def unused(): pass
        def check(text):
            # digits only
            return helper(text) and len(text) < LIMIT
        """,
        """
        def helper(text):
            return text.isdigit()
        @app.task(retry=2)
        async def step1(state: Signup, text: str, mode: Literal["a"] = "a"):
            '''The first step.'''
            await asyncio.sleep(0)
            return check(text), dt.date(2026, 1, 2)
        """,
    )

    assert carried(notebook, "step1") == dedented(
        """
        import asyncio
        import datetime as dt
        from typing import Literal

        from qstate_nb import AsyncState, InlineApp, StateRegistry

        app = InlineApp("signup", registry=StateRegistry())


        class Signup(AsyncState):
            pass


        LIMIT = 60 * 60


        def check(text):
            # digits only
            return helper(text) and len(text) < LIMIT


        def helper(text):
            return text.isdigit()


        @app.task(retry=2)
        async def step1(state: Signup, text: str, mode: Literal["a"] = "a"):
            '''The first step.'''
            await asyncio.sleep(0)
            return check(text), dt.date(2026, 1, 2)
        """
    )


def test_what_is_needed_at_once_comes_first_even_if_its_cell_was_run_again(notebook: FakeNotebook) -> None:
    cells = (START, "@app.task\nasync def step1(state: Signup): return Signup", "LATER = 1")
    notebook.run(*cells, "class Signup(AsyncState):\n    more = 1\n    pass")

    lines = carried(notebook, "step1").splitlines()
    assert lines.index("class Signup(AsyncState):") < lines.index("@app.task")


def test_classes_may_name_each_other(notebook: FakeNotebook) -> None:
    notebook.run(
        "from __future__ import annotations",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport enum" + START,
        """
        from __future__ import annotations
        @dataclass
        class Node:
            leaf: Leaf
        @dataclass
        class Leaf:
            node: Node | None
        @app.task
        async def step1(state: Signup): return Node(Leaf(None))
        """,
    )

    text = carried(notebook, "step1")
    assert text.startswith("from __future__ import annotations\n\nfrom dataclasses import dataclass\n")
    assert "enum" not in text


def test_annotations_that_are_text_are_followed(notebook: FakeNotebook) -> None:
    notebook.run(START, "@app.task\nasync def step1(state: 'Signup'): pass")

    assert "class Signup(AsyncState):" in carried(notebook, "step1")


def test_a_task_that_is_called_by_its_name_comes_along(notebook: FakeNotebook) -> None:
    notebook.run(START, "@app.task\ndef other(): return 1", "@app.task\ndef step1(): return app.run('other')")

    assert "def other(): return 1" in carried(notebook, "step1")


def test_constants_have_their_value_of_now(notebook: FakeNotebook) -> None:
    notebook.run(
        START,
        """
        import re
        from decimal import Decimal
        PRICES = {"a": Decimal("1.50")}
        PATTERN = re.compile(r"\\d+")
        TABLE = {"h": lambda: 1}
        """,
        "PRICES['b'] = Decimal(2)",
        "def handle(): return 1\nHANDLERS = {'a': handle}",
        "@app.task\ndef step1(): return PRICES, PATTERN, TABLE, HANDLERS",
    )

    text = carried(notebook, "step1")
    assert 'PRICES = {"a": Decimal("1.50"), "b": Decimal("2")}' in text
    assert 'PATTERN = re.compile(r"\\d+")' in text
    assert 'TABLE = {"h": lambda: 1}' in text
    assert 'HANDLERS = {"a": handle}' in text
    assert text.index("def handle") < text.index("HANDLERS =")


def test_what_tasks_change_is_as_it_was_before_them(notebook: FakeNotebook) -> None:
    notebook.run(
        START,
        """
        import collections
        tries = {}
        seen: set[str] = set()
        total = 2 * 3
        counts = collections.Counter(a=1)
        by_name = collections.defaultdict(list)
        def made(): return {}
        built = made()
        @app.task
        def step1():
            global total
            tries["ann"] = built["ann"] = 1
            seen.add("ann")
            counts["a"] += 1
            by_name["ann"].append(1)
            total += 1
        """,
        "step1.function()",
        "tries\nlen(seen), counts.most_common()",
    )

    lines = carried(notebook, "step1").splitlines()
    for line in (
        "tries = {}",
        "seen: set[str] = set()",
        "total = 2 * 3",
        "counts = collections.Counter(a=1)",
        "by_name = collections.defaultdict(list)",
        'built = {"ann": 1}',
    ):
        assert line in lines


def test_what_cells_change_has_its_value_of_now(notebook: FakeNotebook) -> None:
    notebook.run(
        START,
        "numbers = [1]\nlimit = 1\nlevel = 1\nkinds = {'a': 1, 'b': 2}",
        "numbers.append(2)\nlimit = 2\nif True:\n    level += 1\ndel kinds['a']",
        """
        @app.task
        def step1():
            global limit
            numbers.append(3)
            limit += 1
            return level, kinds
        """,
        "step1.function()",
    )

    lines = carried(notebook, "step1").splitlines()
    for line in ("numbers = [1, 2, 3]", "limit = 3", "level = 2", 'kinds = {"b": 2}'):
        assert line in lines


def test_what_is_no_literal_is_made_again_as_it_was(notebook: FakeNotebook) -> None:
    notebook.run(
        START,
        """
        import functools, logging
        lock = asyncio.Lock()
        log = logging.getLogger("shop")
        twice = lambda x: 2 * x
        add = functools.partial(max, 1)
        def maker(n):
            def inner(): return n
            return inner
        closure = maker(3)
        @app.task
        def step1(): return lock, log, twice, add, closure
        """,
    )

    text = carried(notebook, "step1")
    for line in ("lock = asyncio.Lock()", "twice = lambda x: 2 * x", "closure = maker(3)", "def maker(n):"):
        assert line in text


def test_the_app_keeps_the_registry_that_tasks_use_by_name(notebook: FakeNotebook) -> None:
    notebook.run(
        "from qstate_nb import *\nregistry = StateRegistry(max_events=10)\napp = InlineApp(registry=registry)",
        "class Stock(State): pass\n@app.task\ndef step1(): return registry.state(Stock)",
    )

    text = carried(notebook, "step1")
    assert text.index("registry = StateRegistry()") < text.index("app = InlineApp(registry=registry)")


def test_a_task_of_a_module_that_a_carried_one_uses_is_imported(notebook: FakeNotebook, shop: Any) -> None:
    notebook.run(START, "from shop.tasks import begin\n@app.task\nasync def step1(): return await begin()")

    assert "from shop.tasks import begin" in carried(notebook, "step1")


def test_what_failed_once_fails_again_and_leaves_nothing(notebook: FakeNotebook) -> None:
    notebook.run(START, "class Broken:\n    def f(self): return thing, Decimal", "from decimal import Decimal")
    notebook.names["thing"] = object()
    sources = Sources({})

    for _ in range(2):
        with pytest.raises(ScenarioError, match="'Broken' uses 'thing', <object object>, which can't be carried"):
            sources.add(notebook["Broken"], "a value")
    assert sources.text() == ""


def test_a_class_and_a_constant_may_use_each_other(notebook: FakeNotebook) -> None:
    notebook.run(
        START,
        "import enum\nclass Plan(enum.Enum):\n    FREE = 1\n    def best(self): return BEST\nBEST = Plan.FREE",
        "@app.task\ndef step1(): return BEST",
    )

    lines = carried(notebook, "step1").splitlines()
    assert lines.index("class Plan(enum.Enum):") < lines.index("BEST = Plan.FREE")


def test_what_was_awaited_is_no_statement_of_a_module(notebook: FakeNotebook) -> None:
    notebook.run(START, "@app.task\ndef step1(): return thing")
    notebook.names["thing"] = object()
    notebook.names["In"].append("thing = await something()")

    with pytest.raises(ScenarioError, match="'step1' uses 'thing', <object object>, which can't be carried"):
        Sources(notebook["app"].tasks).add_task(notebook["step1"])


def test_what_ipython_has_built_in_is_told_from_what_it_replaces(notebook: FakeNotebook) -> None:
    notebook.run(START, "def open(): pass\nopen.__module__ = 'IPython.core'\n@app.task\ndef step1(): display(open())")

    text = carried(notebook, "step1")
    assert "from IPython.display import display" in text
    assert "def open" not in text
    notebook.run("def open(): pass")
    assert "def open" in carried(notebook, "step1")


def test_more_apps_than_one_are_noticed(notebook: FakeNotebook) -> None:
    notebook.run(
        START, "other = InlineApp('other')\n@app.task\ndef step1(): return other\n@app.task\ndef step2(): pass"
    )
    one, two = Sources({}), Sources({})
    one.add_task(notebook["step2"])
    two.add_task(notebook["step1"])

    assert not one.has_more_apps
    assert two.has_more_apps


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("lambda: 1", "a lambda has no source of its own"),
        ("(lambda n: [lambda: n][0])(1)", "a lambda has no source of its own"),
        ("open('/dev/null')", "its source is not known, and its value can't be written"),
        ("type('Made', (), {})", "its source is not known, and its value can't be written"),
    ],
)
def test_what_can_not_be_carried_is_refused(notebook: FakeNotebook, value: str, why: str) -> None:
    notebook.run(START, "@app.task\ndef step1(): return thing")
    notebook.names["thing"] = eval(value)
    try:
        with pytest.raises(ScenarioError) as caught:
            Sources(notebook["app"].tasks).add_task(notebook["step1"])
    finally:
        getattr(notebook["thing"], "close", str)()

    said = str(caught.value)
    assert said.startswith("'step1' uses 'thing', ")
    assert said.endswith(f"which can't be carried into another file: {why}; define it in a module, and import it")


def test_a_closure_without_source_is_refused(notebook: FakeNotebook) -> None:
    notebook.run(
        START, "def maker(n):\n    def inner(): return n\n    return inner", "@app.task\ndef step1(): thing()"
    )
    notebook.names["thing"] = notebook["maker"](1)

    with pytest.raises(ScenarioError, match="it is defined in a function and uses variables of that; define it in a"):
        Sources(notebook["app"].tasks).add_task(notebook["step1"])


def test_a_class_that_no_module_has_is_refused() -> None:
    class Local:
        pass

    with pytest.raises(
        ScenarioError, match=r"a value uses test_a_.*\.Local, which no module has; define it in a module"
    ):
        Sources({}).add(Local, "a value")


def test_a_script_has_its_source_in_its_file(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    code = START + textwrap.dedent(
        """
        @app.task
        async def step1(state: Signup):
            return 1

        from qstate_nb.app.exporting.sources import Sources
        sources = Sources(app.tasks)
        sources.add_task(step1)
        sources.settle()
        print(sources.text())
        """
    )
    script.write_text(code)

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""
    assert done.stdout.rstrip().endswith("@app.task\nasync def step1(state: Signup):\n    return 1")
