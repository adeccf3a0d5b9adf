"""The panel for everybody: what axe-core finds, in both themes, at 200 %, and without a mouse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from support.axe import violations
from support.lab import lab, new_notebook, wait_idle
from support.panel_page import SETUP, PanelPage

PANEL = ".qstate-panel"
MORE = """
with app.scenario("both"):
    for n in range(30):
        await step1()
    await step2("1")
for n in range(50):
    app.state(SyncSignup, scope=n).set("nested", {"list": [1, 2], "n": n})
"""
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
CHANGE_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
TOO_WIDE = """box => {
  const edge = box.getBoundingClientRect().right + 1;
  return [box, ...box.querySelectorAll('*')].filter(node => {
    const style = getComputedStyle(node);
    return node.clientWidth > 0 && style.overflowX === 'visible' && style.display !== 'inline'
      && node.scrollWidth > node.clientWidth + 1 && node.getBoundingClientRect().left + node.scrollWidth > edge;
  }).map(node => `${node.className}: ${node.scrollWidth} px in ${node.clientWidth}: ${node.innerText.slice(0, 80)}`);
}"""


@pytest.fixture(scope="module")
def panel(axe_browser: None) -> Iterator[PanelPage]:
    """The panel after a call that went well, one with an error and one that is still running."""
    with lab(new_notebook(SETUP, MORE, "%qstate panel")) as page:
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        wait_idle(page)
        panel = PanelPage(page)
        panel.run("hostile")
        panel.run("remind")
        expect(panel.row("reminders", "")).to_be_visible()
        panel.box.get_by_role("tab", name="Scenarios").click()
        panel.box.get_by_label("scenario").select_option("both")
        panel.box.get_by_role("tab", name="Races").click()
        panel.box.get_by_label("tasks at once").fill("step1 step2(phone='1')")
        panel.box.get_by_role("button", name="Explore").click()
        expect(panel.box.locator(".qstate-outcome").first).to_be_visible()
        yield panel


def set_theme(page: Page, theme: str) -> None:
    page.evaluate(CHANGE_THEME, THEMES[theme])
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=THEMES[theme])


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_grave_in_any_tab(panel: PanelPage, theme: str) -> None:
    set_theme(panel.page, theme)
    found = {}
    for tab in panel.box.get_by_role("tab").all():
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        for line in violations(panel.page, PANEL):
            found[line] = tab.inner_text()
    set_theme(panel.page, "light")

    assert found == {}, "\n".join(f"{tab}: {line}" for line, tab in found.items())


def test_at_200_percent_nothing_sticks_out_of_the_panel(panel: PanelPage) -> None:
    """At 200 %, a window of 1280 by 900 has room for half as many of the page's pixels."""
    panel.page.set_viewport_size({"width": 640, "height": 450})
    try:
        for tab in panel.box.get_by_role("tab").all():
            tab.click()
            assert panel.box.evaluate(TOO_WIDE) == []
    finally:
        panel.page.set_viewport_size({"width": 1280, "height": 900})


def test_a_form_is_filled_and_run_and_a_call_stopped_by_keyboard_alone(panel: PanelPage) -> None:
    panel.open_tab("Calls")
    page = panel.page
    panel.box.get_by_role("button", name="Close").first.focus()

    tab_to(panel.field("step2", "phone"))
    page.keyboard.type("0301234")
    tab_to(panel.run_button("step2"))
    page.keyboard.press("Enter")
    expect(panel.row("number", "'+490301234'")).to_be_visible()

    tab_to(panel.stop_button())
    page.keyboard.press("Space")
    expect(panel.call("remind #")).to_contain_text("cancel")


def test_another_tab_is_opened_by_keyboard_alone(panel: PanelPage) -> None:
    first, second = panel.box.get_by_role("tab").all()[:2]
    first.click()
    panel.box.get_by_role("button", name="Close").first.focus()

    tab_to(first)
    panel.page.keyboard.press("ArrowRight")
    panel.page.keyboard.press("Enter")

    expect(second).to_have_attribute("aria-selected", "true")


def tab_to(target: Locator, limit: int = 150) -> None:
    """Press Tab until the element has the focus."""
    expect(target).to_be_visible()
    for _ in range(limit):
        target.page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError(f"{limit} times Tab, and never at {target}")
