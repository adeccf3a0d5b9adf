"""The panel in a real JupyterLab, in a real browser: what a person does and sees."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from support.lab import cell_output, lab, new_notebook, run_cell, wait_idle

SETUP = """
%load_ext qstate_nb
import asyncio, time
from dataclasses import dataclass
from typing import Literal
from qstate_nb import AsyncState, InlineApp, State, StateRegistry

if "app" in globals():
    for call in app.calls:
        call.cancel()
    while not all(call.done for call in app.calls):
        await asyncio.sleep(0.01)

app = InlineApp("signup", registry=StateRegistry())

class Signup(AsyncState):
    pass

class SyncSignup(State, name="Signup"):
    pass

@app.task
async def step1(state: Signup):
    "Ask for the phone number."
    await state.set("state", "await_phone")
    await state.update(step=1, prompt="Enter phone number")
    print("asked for the number")
    return "ok"

@app.task
async def step2(state: Signup, phone: str, country: Literal["DE", "FR"] = "DE", tries: int = 3):
    "Check the number."
    if not phone.isdigit():
        raise ValueError(f"not a number: {phone}")
    await state.update(step=2, phone=phone, country=country, tries=tries)

@dataclass
class Parcel:
    street: str
    items: list[int]

@app.task
async def send(state: Signup, parcel: Parcel, note: str | None = None):
    "Send a parcel."
    await asyncio.sleep(0.2)
    await state.increment("sent", len(parcel.items))

@app.task(echo=True)
async def remind(self, state: Signup):
    "Remind the user, again and again."
    for n in range(10_000):
        await state.set("reminders", n)
        self.ctx.progress(n, 10_000)
        await asyncio.sleep(0.02)

@app.task
def backup(state: SyncSignup):
    "Copy the State, slowly."
    for n in range(10_000):
        state.set("copied", n)
        time.sleep(0.02)
"""
BUSY = """
for n in range(5):
    app.run("step1")
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""
MARKUP = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
HOSTILE = f"""
@app.task(name={MARKUP!r}, description={MARKUP!r})
def hostile(state: SyncSignup, text: str = {MARKUP!r}):
    print(text)
    raise ValueError(text)
app.run({MARKUP!r})
app.state(SyncSignup).set({MARKUP!r}, {{"inside": [{MARKUP!r}]}})
with app.scenario({MARKUP!r}):
    app.run({MARKUP!r})
"""
BURST = """
for n in range(100_000):
    app.state(SyncSignup).set(f"burst {n % 3}", n)
"""
READ = 600  # milliseconds: a faster click belongs to a double click
PICTURES = Path(__file__).parent.parent.parent / "notebooks"


@pytest.fixture(scope="module")
def notebook(browser: None) -> Iterator[Page]:
    """A notebook in JupyterLab."""
    with lab(new_notebook(SETUP, "%qstate panel", BUSY, HOSTILE, BURST, "%qstate panel"), run_all=False) as page:
        page.set_viewport_size({"width": 1280, "height": 1000})
        yield page


@pytest.fixture
def page(notebook: Page) -> Page:
    """The notebook, after a new run of its first two cells: a new app with State of its own, and its panel."""
    run_cell(notebook, 0)
    run_cell(notebook, 1)
    wait_idle(notebook)
    return notebook


def card(page: Page, task: str) -> Locator:
    """The task's card: its description, form and Run button."""
    return page.locator(".qstate-task").filter(has=page.get_by_text(task, exact=True))


def click_run(page: Page, task: str) -> None:
    card(page, task).get_by_role("button", name="Run").click()


def row(page: Page, key: str) -> Locator:
    """The row of a key of State."""
    named = page.locator(".qstate-key").filter(has_text=re.compile(rf"^\s*(● )?{re.escape(key)}$"))
    return page.locator(".qstate-state .qstate-row").filter(has=named).filter(visible=True)


def value(page: Page, key: str) -> Locator:
    """The value of a key of State."""
    return row(page, key).locator(".qstate-value")


def tab(page: Page, name: str) -> Locator:
    """Choose a tab of the panel, and give its content."""
    page.locator(".qstate-panel").get_by_role("tab", name=name).click()
    return page.locator(".qstate-panel .widget-tab-contents")


def call(page: Page, name: str) -> Locator:
    """A call in the list of calls."""
    return page.locator(".qstate-call").filter(has_text=name)


def stop(page: Page, name: str) -> None:
    """Click on Stop beside a call."""
    page.locator(".qstate-calls .qstate-row").filter(has=call(page, name)).get_by_role("button", name="Stop").click()


def test_fill_a_form_run_and_see_the_table_change(page: Page) -> None:
    click_run(page, "step1")
    expect(row(page, "state")).to_contain_text("'await_phone'")
    expect(row(page, "prompt")).to_contain_text("step1 #1, event 2")
    expect(call(page, "step1 #1")).to_contain_text("✓ success, returned 'ok'")
    expect(page.locator(".qstate-calls")).to_contain_text("asked for the number")

    card(page, "step2").get_by_label("phone").fill("0301234")
    card(page, "step2").get_by_label("country").select_option("FR")
    card(page, "step2").get_by_label("tries").fill("5")
    click_run(page, "step2")

    expect(row(page, "phone")).to_contain_text("'0301234'")
    expect(row(page, "country")).to_contain_text("'FR'")
    expect(row(page, "tries")).to_contain_text("5")
    expect(row(page, "phone")).to_contain_text("last change")
    expect(row(page, "state")).not_to_contain_text("last change")


def test_a_failing_task_shows_its_error_and_its_traceback(page: Page) -> None:
    card(page, "step2").get_by_label("phone").fill("<b>x</b>")
    click_run(page, "step2")

    expect(call(page, "step2 #1")).to_contain_text("✗ error, ValueError: not a number: <b>x</b>")
    page.get_by_text("traceback of step2 #1").click()
    expect(page.locator(".qstate-calls")).to_contain_text("in step2")


@pytest.mark.parametrize("task", ["remind", "backup"])
def test_stop_a_long_task_while_another_goes_on(page: Page, task: str) -> None:
    """The tasks run in the background, on the loop and in a thread: the kernel is idle meanwhile."""
    click_run(page, "remind")
    click_run(page, "backup")
    expect(row(page, "reminders")).to_be_visible()
    expect(row(page, "copied")).to_be_visible()
    wait_idle(page)

    stop(page, f"{task} #")

    expect(call(page, f"{task} #")).to_contain_text("cancel")
    expect(call(page, "backup #" if task == "remind" else "remind #")).to_contain_text("running")


def test_what_a_busy_cell_does_shows_while_it_runs_and_stop_works(page: Page) -> None:
    click_run(page, "backup")
    expect(row(page, "copied")).to_be_visible()
    run_cell(page, 2)
    expect(row(page, "state")).to_contain_text("step1 #6")

    stop(page, "backup #1")

    expect(call(page, "backup #1")).to_contain_text("cancel")
    expect(page.locator(".jp-CodeCell").nth(2).locator(".jp-InputPrompt")).to_contain_text("*")
    page.locator(".jp-Toolbar").get_by_role("button", name="Interrupt the kernel").click()
    wait_idle(page)


def test_markup_from_anywhere_stays_text(page: Page) -> None:
    run_cell(page, 3)

    expect(page.locator(".qstate-key").filter(has_text="<img src=x").first).to_be_visible()
    page.get_by_role("button", name="Unfold").filter(visible=True).click()
    expect(page.locator(".qstate-tree").first).to_contain_text("<script>")
    for name in ("Calls", "Timeline", "Events", "Scenarios", "Races"):
        expect(tab(page, name)).to_be_visible()
    tab(page, "Scenarios").get_by_label("scenario").select_option(index=1)
    expect(page.locator(".qstate-scenarios td").first).to_be_visible()
    assert page.locator(".qstate-panel img, .qstate-panel script").count() == 0
    assert page.title() != "hacked"


def test_errors_stand_at_their_fields_and_nothing_runs_until_they_are_mended(page: Page) -> None:
    send = card(page, "send")
    send.get_by_label("items").fill("[1, 'two'")
    send.get_by_role("button", name="Run").click()
    expect(send).to_contain_text("this is no JSON")
    expect(send).to_contain_text("not started: look at parcel")
    expect(page.locator(".qstate-call").filter(visible=True)).to_have_count(0)

    send.get_by_label("street").fill("Main Street")
    send.get_by_label("items").fill("[1, 2]")
    send.get_by_role("button", name="Run").click()
    expect(value(page, "sent")).to_have_text("2")
    expect(send).not_to_contain_text("JSON at")


def test_run_several_times_at_once_and_different_tasks_together(page: Page) -> None:
    send = card(page, "send")
    send.get_by_label("street").fill("Main Street")
    send.get_by_label("items").fill("[1]")
    send.get_by_label("times").fill("5")
    send.get_by_label("at once").check()
    send.get_by_role("button", name="Run").click()
    expect(value(page, "sent")).to_have_text("5")
    expect(call(page, "send #5")).to_contain_text("success")

    send.get_by_label("times").fill("2")
    send.get_by_role("button", name="Add to together").click()
    card(page, "step1").get_by_role("button", name="Add to together").click()
    page.get_by_role("button", name="Run together").click()
    expect(value(page, "sent")).to_have_text("7")
    expect(row(page, "prompt")).to_contain_text("step1 #8")


def test_edit_in_place_undo_delete_and_clear(page: Page) -> None:
    click_run(page, "step1")
    step = row(page, "step")
    step.get_by_role("button", name="Edit").click()
    field = step.get_by_role("textbox")
    field.fill("[1, 2")
    field.press("Enter")
    expect(step.locator(".qstate-problem")).to_be_visible()
    field.fill("41 ")
    field.press("Enter")
    expect(value(page, "step")).to_have_text("41")
    expect(row(page, "step")).to_contain_text("user, event 3")

    state = page.locator(".qstate-state")
    state.get_by_role("button", name="Undo").click()
    expect(value(page, "step")).to_have_text("1")
    expect(state).to_contain_text("undo of event 3")
    row(page, "prompt").get_by_role("button", name="Delete").click()
    row(page, "prompt").get_by_role("button", name="Really delete?").click(delay=READ)
    expect(row(page, "prompt")).to_have_count(0)
    state.get_by_role("button", name="Clear").click()
    state.get_by_role("button", name=re.compile("Really")).click(delay=READ)
    expect(row(page, "step")).to_have_count(0)
    assert page.locator(".qstate-state .qstate-row").filter(visible=True).count() == 0


def test_two_panels_agree_and_a_burst_ends_on_the_right_values(page: Page) -> None:
    run_cell(page, 5)
    expect(page.locator(".qstate-panel")).to_have_count(2)
    run_cell(page, 4)
    for number in range(3):
        expect(row(page, f"burst {number}")).to_have_count(2)
        for panel in range(2):
            last = 99_999 if number == 0 else 99_996 + number
            expect(value(page, f"burst {number}").nth(panel)).to_have_text(str(last))


def test_record_what_is_clicked_and_step_through_it(page: Page, tmp_path: Path) -> None:
    scenarios = tab(page, "Scenarios")
    scenarios.get_by_label("record as").fill("clicked")
    scenarios.get_by_role("button", name=re.compile("Record$")).click()
    expect(scenarios).to_contain_text("● recording clicked")
    click_run(page, "step1")
    expect(row(page, "prompt")).to_contain_text("step1 #1")
    card(page, "step2").get_by_label("phone").fill("030")
    click_run(page, "step2")
    expect(row(page, "phone")).to_contain_text("'030'")
    scenarios.get_by_role("button", name="Stop recording").click()
    expect(scenarios).to_contain_text("clicked: 0 of 2 steps done")

    scenarios.get_by_role("button", name="Replay").click()
    expect(scenarios).to_contain_text("replay of clicked: 2 steps, all as recorded")
    scenarios.get_by_role("button", name="Next step").click()
    expect(scenarios).to_contain_text("1 of 2 steps done")
    expect(value(page, "step")).to_have_text("1")
    take_picture(page, "scenarios.png", tmp_path)
    scenarios.get_by_role("button", name="Back").click()
    expect(scenarios).to_contain_text("State is as it was before step 1")
    expect(value(page, "step")).to_have_text("2")


def test_close_takes_the_panel_away(page: Page) -> None:
    page.locator(".qstate-panel").get_by_role("button", name="Close").click()

    expect(page.locator(".qstate-panel")).to_have_count(0)


def test_the_panel_has_a_text_beside_the_widget(page: Page) -> None:
    assert "step1" in cell_output(page, 1)


def take_picture(page: Page, name: str, folder: Path) -> None:
    """A picture for the README; with UPDATE_PICTURES=1 it replaces the one in the repository."""
    page.locator(".qstate-tasks").evaluate("tasks => tasks.scrollTo(0, 0)")
    page.mouse.move(0, 0)
    picture = (PICTURES if os.environ.get("UPDATE_PICTURES") else folder) / name

    page.locator(".qstate-panel").screenshot(path=picture)

    assert picture.stat().st_size > 10_000
    assert (PICTURES / name).exists()


def test_the_picture_of_the_readme(page: Page, tmp_path: Path) -> None:
    click_run(page, "step1")
    card(page, "step2").get_by_label("phone").fill("0301234")
    click_run(page, "step2")
    click_run(page, "remind")
    expect(row(page, "reminders")).to_be_visible()
    take_picture(page, "panel.png", tmp_path)


def test_scrub_through_the_past_play_it_and_undo(page: Page) -> None:
    for _ in range(3):
        click_run(page, "step1")
    expect(row(page, "prompt")).to_contain_text("step1 #3, event 6")
    tab(page, "Timeline")
    expect(page.locator(".qstate-timeline")).to_be_visible()
    expect(page.locator(".qstate-legend")).to_contain_text("step1")

    moment = page.get_by_label("go to event")
    moment.fill("1")
    moment.press("Enter")
    notice = page.locator(".qstate-notice")
    expect(notice).to_contain_text("PAST: State after event 1 of 6; it can only be read")
    expect(page.locator(".qstate-state table").first).to_contain_text("state")
    expect(page.locator(".qstate-state table").first).not_to_contain_text("prompt")

    page.get_by_role("button", name="Play").click()
    expect(notice).to_have_count(0, timeout=15_000)
    expect(row(page, "prompt")).to_contain_text("event 6")

    time_bar = page.locator(".qstate-time")
    time_bar.get_by_role("button", name="Undo").click()
    expect(time_bar).to_contain_text("event 7: undo of events 5, 6")
    expect(row(page, "prompt")).to_contain_text("user, event 7")
    time_bar.get_by_role("button", name="Redo").click()
    expect(time_bar).to_contain_text("event 8: redo of events 5, 6")

    time_bar.get_by_placeholder("name of this moment").fill("after three")
    time_bar.get_by_role("button", name="Label").click()
    click_run(page, "step1")
    expect(row(page, "prompt")).to_contain_text("event 10")
    time_bar.get_by_label("go to label").select_option("after three")
    expect(notice).to_contain_text("after event 8 of 10")
    time_bar.get_by_role("button", name="Now").click()
    expect(notice).to_have_count(0)


def test_what_is_typed_and_where_one_has_scrolled_stays_while_events_come(page: Page) -> None:
    click_run(page, "remind")
    expect(row(page, "reminders")).to_be_visible()
    events = tab(page, "Events").locator(".qstate-log > .widget-html").last
    expect(events.locator("td").nth(100)).to_be_attached()
    events.evaluate("box => box.scrollTo(0, 60)")
    events.focus()
    now = value(page, "reminders").inner_text()
    expect(value(page, "reminders")).not_to_have_text(now)
    assert events.evaluate("box => [box.scrollTop, document.activeElement === box]") == [60, True]

    tab(page, "Timeline")
    moment = page.get_by_label("go to event")
    moment.press_sequentially("12", delay=150)
    moment.press("Enter")
    expect(page.locator(".qstate-panel .qstate-notice")).to_contain_text("PAST: State after event 12 of ")


def test_explore_races_and_be_the_scheduler(page: Page) -> None:
    page.get_by_role("tab", name="Races").click()
    races = page.locator(".qstate-races")
    races.get_by_label("tasks at once").fill("step1 step2(phone=MARKUP)")
    races.get_by_role("button", name="Explore").click()
    expect(races).to_contain_text("MARKUP is no literal")

    races.get_by_label("tasks at once").fill("step1 step2(phone='1')")
    races.get_by_role("button", name="Explore").click()
    expect(races.locator(".qstate-outcome").first).to_contain_text("✓ safe")
    races.get_by_label("check").fill("Signup.step == 2")
    races.get_by_role("button", name="Explore").click()
    expect(races.locator(".qstate-outcome").first).to_contain_text("✗ check failed")
    expect(races.locator("svg.qstate-lanes").first).to_be_visible()

    races.get_by_role("button", name="Step").click()
    expect(races).to_contain_text("0 steps, 2 outcomes can still come")
    races.get_by_role("button", name=re.compile("^step1: set Signup.state")).click()
    races.get_by_role("button", name=re.compile("^step1: update")).click()
    expect(races).to_contain_text("2 steps, 1 outcome can still come")
    races.get_by_role("button", name="Back").click()
    expect(races).to_contain_text("1 step, 2 outcomes can still come")
    races.get_by_role("button", name="Outcomes").click()
    expect(races.locator(".qstate-outcome").first).to_contain_text("✗ check failed")
    page.get_by_role("tab", name="Timeline").click()
    expect(page.locator(".qstate-time")).to_be_visible()
