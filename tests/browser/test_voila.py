"""The panel in Voila: the core of what a person does with it, where there are no cells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from support.frontends import voila
from support.lab import new_notebook
from support.panel_page import SETUP, PanelPage


@pytest.fixture(scope="module")
def panel(voila_browser: None) -> Iterator[PanelPage]:
    with voila(new_notebook(SETUP, "%qstate panel")) as page:
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

    panel.stop_button().click()

    expect(panel.call("remind #")).to_contain_text("cancel")


def test_markup_stays_text(panel: PanelPage) -> None:
    panel.run("hostile")

    expect(panel.row("<img src=x", "<script>")).to_be_visible()
    expect(panel.call("hostile #")).to_contain_text("<script>")
    assert panel.box.locator("img, script").count() == 0
    assert "hacked" not in panel.page.title()
