"""The panel in Notebook 7, and in Voila, where there are no cells: the core of what a person does with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from support.frontends import notebook7, voila
from support.lab import new_notebook, wait_idle
from support.panel_page import SETUP, PanelPage

FRONT_ENDS = {"Notebook 7": ("notebook_browser", notebook7), "Voila": ("voila_browser", voila)}


@pytest.fixture(scope="module", params=FRONT_ENDS)
def panel(request: pytest.FixtureRequest) -> Iterator[PanelPage]:
    needed, front_end = FRONT_ENDS[request.param]
    request.getfixturevalue(needed)
    with front_end(new_notebook(SETUP, "%qstate panel")) as page:
        if front_end is notebook7:
            wait_idle(page)
        yield PanelPage(page)


def test_the_panel_and_nothing_else_is_shown(panel: PanelPage) -> None:
    expect(panel.row("state", "'await_phone'")).to_be_visible()
    expect(panel.box).not_to_contain_text("PAST")
    expect(panel.page.locator(".qstate-still")).to_be_hidden()


def test_a_form_that_is_filled_and_run_changes_state(panel: PanelPage) -> None:
    panel.field("step2", "phone").fill("0301234")
    panel.run("step2")

    expect(panel.row("number", "'+490301234'")).to_be_visible()
    expect(panel.call("step2 #")).to_contain_text("ok")


def test_a_call_that_runs_is_stopped(panel: PanelPage) -> None:
    panel.run("remind")
    expect(panel.row("reminders", "")).to_be_visible()
    if "/voila/" not in panel.page.url:
        wait_idle(panel.page)

    panel.stop_button().click()

    expect(panel.call("remind #")).to_contain_text("cancel")


def test_markup_stays_text(panel: PanelPage) -> None:
    panel.run("hostile")

    expect(panel.row("<img src=x", "<script>")).to_be_visible()
    expect(panel.call("hostile #")).to_contain_text("<script>")
    assert panel.box.locator("img, script").count() == 0
    assert "hacked" not in panel.page.title()
