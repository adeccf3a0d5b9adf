"""Notebook 7 and Voila in a headless Chromium, opened as `lab` opens JupyterLab.

Role: what works in JupyterLab needn't work elsewhere: Voila has no cells and draws the widgets when all have run.
Both packages are extensions of the server that `lab` starts, so that one server has all three.

    with notebook7(new_notebook(SETUP, "%qstate panel")) as page:
        wait_idle(page)
    with voila(new_notebook(SETUP, "%qstate panel")) as page:
        expect(page.locator(".qstate-panel")).to_be_visible()
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import nbformat
from support.lab import PATIENCE, open_notebook, served

if TYPE_CHECKING:
    from playwright.sync_api import Page


@contextmanager
def notebook7(notebook: nbformat.NotebookNode, *, run_all: bool = True) -> Iterator[Page]:
    """Open ``notebook`` in Notebook 7, start all its cells unless told not to, yield the page.

    What `lab` offers for a page works here, too.
    """
    with served(notebook) as (page, url):
        open_notebook(page, f"{url}/notebooks/test.ipynb", run_all=run_all)
        yield page


@contextmanager
def voila(notebook: nbformat.NotebookNode) -> Iterator[Page]:
    """Open ``notebook`` in Voila, yield the page when all cells have run and the first widget is drawn."""
    with served(notebook) as (page, url):
        page.goto(f"{url}/voila/render/test.ipynb", wait_until="commit")
        page.locator(".jupyter-widgets").first.wait_for(timeout=PATIENCE * 1000)
        yield page
