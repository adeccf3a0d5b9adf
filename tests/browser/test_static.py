"""A panel in a notebook that was saved and is opened without its kernel: State as it was last, and no error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.lab import RUN_ALL, lab, new_notebook, run_cell, wait_idle
from support.panel_page import SETUP, PanelPage

SHOW = "from qstate_nb import panel\nshown = panel(app)\nshown"
LAST = "app.state(SyncSignup).set('last', 'between $1 and $2')"
STILL = ".qstate-still"
SHUT_DOWN = "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
GET = "path => fetch(`/api/contents/${path}?content=1`).then(answer => answer.json())"
PUT = """([path, content]) => fetch(`/api/contents/${path}`, {
  method: 'PUT', body: JSON.stringify({type: 'notebook', format: 'json', content}),
  headers: {'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)?.[1] ?? ''} }).then(answer => answer.status)"""


@pytest.fixture(scope="module")
def page(browser: None) -> Iterator[Page]:
    """A notebook with one panel in two cells, after changes by the panel and by a cell."""
    with lab(new_notebook(SETUP, SHOW, "shown", LAST), run_all=False) as page:
        for cell in range(3):
            run_cell(page, cell)
        panel = PanelPage(page)
        panel.box.nth(1).wait_for()
        wait_idle(page)
        panel.box = panel.box.first
        panel.field("step2", "phone").fill("0301234")
        panel.run("step2")
        expect(panel.row("number", "'+490301234'")).to_be_visible()
        run_cell(page, 3)
        wait_idle(page)
        yield page


@pytest.fixture(scope="module")
def saved(page: Page) -> dict[str, Any]:
    """The notebook as JupyterLab saves it."""
    page.evaluate(SAVE)
    content: dict[str, Any] = page.evaluate(GET, "test.ipynb")["content"]
    return content


@contextmanager
def another_page(page: Page) -> Iterator[Page]:
    """A second window of the same browser."""
    browser = page.context.browser
    assert browser is not None
    with closing(browser.new_page()) as opened:
        yield opened


def expect_pictures(page: Page) -> None:
    """Under each of the two cells the State is seen once, as it was last, and no error."""
    for picture in (page.locator(STILL).first, page.locator(STILL).nth(1)):
        expect(picture).to_be_visible()
        expect(picture).to_contain_text("'+490301234'")
        expect(picture).to_contain_text("'between $1 and $2'")
    assert page.get_by_text("qstate panel: signup").filter(visible=True).count() == 2
    assert page.get_by_text("displaying widget").filter(visible=True).count() == 0
    assert page.get_by_text("Loading widget").filter(visible=True).count() == 0


def test_beside_a_live_panel_the_picture_is_hidden_and_right(page: Page) -> None:
    expect(page.locator(".qstate-panel")).to_have_count(2)
    expect(page.locator(STILL)).to_have_count(2)
    for place in range(2):
        expect(page.locator(STILL).nth(place)).to_be_hidden()
        assert "between $1 and $2" in (page.locator(STILL).nth(place).text_content() or "")


def test_the_saved_notebook_has_the_last_picture(saved: dict[str, Any]) -> None:
    for cell in saved["cells"][1:3]:
        widget, picture = cell["outputs"]
        assert "application/vnd.jupyter.widget-view+json" in widget["data"]
        assert widget["data"]["text/html"] == ""
        assert list(picture["data"]) == ["text/html"]
        assert "+490301234" in picture["data"]["text/html"]
        assert "between $1 and $2" in picture["data"]["text/html"]
    assert "widgets" not in saved["metadata"]


def test_nbconvert_makes_html_with_the_last_picture(page: Page, saved: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "saved.ipynb").write_text(json.dumps(saved), encoding="utf-8")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "saved.ipynb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)

    with another_page(page) as html:
        html.route("http*://**", lambda route: route.abort())  # scripts that draw formulas
        html.goto((tmp_path / "saved.html").as_uri())
        expect_pictures(html)


def test_in_a_notebook_that_is_not_trusted_the_picture_is_there(page: Page, saved: dict[str, Any]) -> None:
    """There, JupyterLab takes the style away, and shows the text of a widget."""
    cells = [{**cell, "metadata": {"tags": ["a stranger's"]}} for cell in saved["cells"]]
    assert page.evaluate(PUT, ["stranger.ipynb", {**saved, "cells": cells}]) == 201

    with another_page(page) as stranger:
        stranger.goto(page.url.replace("lab/tree/test.ipynb", "doc/tree/stranger.ipynb"))
        expect_pictures(stranger)
        expect(stranger.locator(".jp-mod-trusted")).to_have_count(0)


def test_without_the_kernel_the_picture_is_there(page: Page, saved: dict[str, Any]) -> None:
    page.evaluate(SHUT_DOWN)
    page.reload()

    expect(page.get_by_text("Error displaying widget: model not found")).to_have_count(2, timeout=30_000)
    expect_pictures(page)
    expect(page.locator(".qstate-panel")).to_have_count(0)


def test_the_picture_stays_when_the_panel_is_closed(page: Page) -> None:
    wait_idle(page)
    page.evaluate(RUN_ALL)
    expect(page.locator(".qstate-panel")).to_have_count(2, timeout=30_000)
    expect(page.locator(STILL).first).to_be_hidden()
    expect(page.locator(STILL).first).to_contain_text("'between $1 and $2'")

    PanelPage(page).box.first.get_by_role("button", name="Close").click()

    expect(page.locator(".qstate-panel")).to_have_count(0)
    for place in range(2):
        expect(page.locator(STILL).nth(place)).to_be_visible()
        expect(page.locator(STILL).nth(place)).to_contain_text("'between $1 and $2'")
