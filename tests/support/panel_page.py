"""The panel as a person uses it in a page, whatever front end that is.

Things are found by what is read there: the name of a task, the label of a field, "Run", "Stop".

    panel = PanelPage(page)
    panel.field("step2", "phone").fill("123")
    panel.run("step2")
    expect(panel.row("phone", "+49123")).to_be_visible()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MARKUP = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
SETUP = f"""
%load_ext qstate_nb
import asyncio
from qstate_nb import AsyncState, InlineApp, State, StateRegistry

app = InlineApp("signup", registry=StateRegistry())

class Signup(AsyncState):
    pass

class SyncSignup(State, name="Signup"):
    pass

@app.task
async def step1(state: Signup):
    "Ask for the phone number."
    await state.update(state="await_phone", price="$5 or $6")

@app.task
async def step2(state: Signup, phone: str):
    "Check the number."
    await state.update(step=2, number=f"+49{{phone}}")
    return "ok"

@app.task
async def remind(state: Signup):
    "Remind the user, again and again."
    for n in range(1, 100_000):
        await state.set("reminders", n)
        await asyncio.sleep(0.02)

@app.task(description={MARKUP!r})
async def hostile(state: Signup, text: str = {MARKUP!r}):
    await state.set(text, text)
    print(text)
    raise ValueError(text)

await step1()
"""


class PanelPage:
    """The panel in a page that shows one.

    Attributes:
        box: the whole panel.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.box = page.locator(".qstate-panel")

    def card(self, task: str) -> Locator:
        """What the panel shows of a task: its description, form and Run."""
        return self.box.locator(".qstate-task").filter(has=self.page.get_by_text(task, exact=True))

    def field(self, task: str, parameter: str) -> Locator:
        """The field of a task's parameter."""
        return self.card(task).get_by_label(parameter, exact=True).first

    def run_button(self, task: str) -> Locator:
        """The button that runs a task."""
        return self.card(task).get_by_role("button", name="Run").first

    def run(self, task: str) -> None:
        """Click on Run."""
        self.run_button(task).click()

    def open_tab(self, name: str) -> None:
        """Open one of the tabs below, if there is one of this name."""
        tab = self.box.get_by_role("tab", name=name, exact=True)
        if tab.count():
            tab.click()

    def row(self, key: str, value: str) -> Locator:
        """The row of a key of State that has this value."""
        rows = self.box.locator("tr, .qstate-row")
        return rows.filter(has_text=key).filter(has_text=value).first

    def call(self, name: str) -> Locator:
        """A call, such as ``step2 #1``, in the list of calls."""
        return self.box.locator(".qstate-call").filter(has_text=name).first

    def stop_button(self) -> Locator:
        """The button that stops the newest call that runs."""
        return self.box.get_by_role("button", name="Stop").filter(visible=True).first
