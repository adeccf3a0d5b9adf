"""A real JupyterLab in a headless Chromium for the tests: what a user clicks and sees.

Role: a panel of widgets can only be tested whole in a browser. Nothing here knows the panel; the
tests get a Playwright ``Page`` with the notebook open, and look things up by role or text.
Other front ends that the same server has are in `frontends`.

Flow: ``served()`` starts a JupyterLab server with the current interpreter in a private folder
(settings, data, runtime, IPython), and Chromium while the server comes up; ``lab()`` opens the
notebook there and runs its cells. The state of the notebook is read from the page itself: the
execution prompts of the cells, and JupyterLab's own view of the kernel, which says idle only after
all output arrived.

    with lab(new_notebook("1 + 1")) as page:
        wait_idle(page)
        assert cell_output(page, 0) == "2"
"""

# nbformat is marked as typed, but its functions have no annotations
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 120  # seconds for a start: it takes 8, but 50 beside three others on two cores
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# as "python -m jupyterlab", but 2 s faster: without an optional checker of jsonschema that
# compiles a grammar at import, and that the server doesn't use
SERVER = """
import sys
sys.modules["rfc3987_syntax"] = None
from jupyterlab.labapp import main
main()
"""
SERVER_FLAGS = [
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.open_browser=False",
    "--ServerApp.allow_root=True",
    "--IdentityProvider.token=",
    "--LabApp.extension_manager=readonly",
    "--LabApp.expose_app_in_browser=True",
    "--JupyterNotebookApp.expose_app_in_browser=True",
]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # keep the cells that are out of sight in the page, with their text
    "notebook-extension/tracker": {"windowingMode": "none"},
}
KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
# "connected" too: a kernel that the page isn't connected to yet is shown as idle
IDLE = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
  return kernel?.connectionStatus === 'connected' && kernel.status === 'idle'
    && prompts.length > 0 && !prompts.some(prompt => prompt.textContent.includes('*'));
}"""
STARTED = "() => /\\[[*0-9]/.test(document.querySelector('.jp-InputPrompt').textContent)"
RUN_ALL = "() => { void window.jupyterapp.commands.execute('notebook:run-all-cells'); }"


def missing_browser(*packages: str) -> str | None:
    """Return why ``lab`` can't run here, as the reason of a skip, or None if it can.

    ``packages`` are what a test needs beside JupyterLab, by the names that pip knows.
    """
    for package in ("jupyterlab", "playwright", *packages):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return f"needs the package {package}"
    return None if _browser() else f"needs one of these on PATH: {', '.join(BROWSERS)}"


def new_notebook(*cells: str) -> nbformat.NotebookNode:
    """Make a notebook of code cells for the kernel ``python3``."""
    notebook: nbformat.NotebookNode
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNELSPEC})
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return notebook


@contextmanager
def lab(notebook: nbformat.NotebookNode, *, run_all: bool = True) -> Iterator[Page]:
    """Open ``notebook`` in JupyterLab, start all its cells unless told not to, yield the page.

    The kernel is the current interpreter, whatever kernelspec the notebook names. The cells may
    still run when the page is yielded: see ``wait_idle``. Whatever is raised inside gets the end of
    the server's log as a note.
    """
    with served(notebook) as (page, url):
        open_notebook(page, f"{url}/lab/tree/test.ipynb", run_all=run_all)
        yield page


@contextmanager
def served(notebook: nbformat.NotebookNode) -> Iterator[tuple[Page, str]]:
    """Start a server for ``notebook`` and a browser; yield an empty page and the server's address."""
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _write_files(folder, notebook)
        with _server(folder) as (server, url), _page() as page:
            _wait_for_server(server, url)
            yield page, url


def open_notebook(page: Page, url: str, *, run_all: bool) -> None:
    """Go to a notebook in JupyterLab or Notebook, with its kernel; start all its cells if told so."""
    page.goto(url, wait_until="commit")
    wait_idle(page, PATIENCE)
    if run_all:
        page.evaluate(RUN_ALL)
        page.wait_for_function(STARTED)


def wait_idle(page: Page, timeout: float = 30) -> None:
    """Wait (seconds) until no cell waits or runs, no ``[*]``, and the kernel is idle.

    After a click on a widget wait for its effect instead: the page is still idle until the click
    has reached the kernel.
    """
    try:
        page.wait_for_function(IDLE, timeout=timeout * 1000)
    except Exception as error:
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
        error.add_note(f"The notebook is not idle; the prompts of its code cells: {prompts}")
        raise


def run_cell(page: Page, index: int) -> None:
    """Run code cell ``index`` (from 0) as a user does with Ctrl+Enter; return once it is queued."""
    cell = page.locator(".jp-CodeCell").nth(index)
    prompt = cell.locator(".jp-InputPrompt").element_handle()
    before = [prompt, prompt.text_content()]
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_function("([prompt, text]) => prompt.textContent !== text", arg=before)


def cell_output(page: Page, index: int) -> str:
    """Return the text under code cell ``index`` (from 0), widgets included, without prompts."""
    cell = page.locator(".jp-CodeCell").nth(index)
    outputs = cell.locator(".jp-Cell-outputArea > .jp-OutputArea-child > .jp-OutputArea-output")
    return "\n".join(text.strip() for text in outputs.all_inner_texts())


def _write_files(folder: Path, notebook: nbformat.NotebookNode) -> None:
    """Write the notebook, for a kernelspec that needs no dialog, and the user's settings."""
    notebook = deepcopy(notebook)
    notebook.metadata["kernelspec"] = KERNELSPEC
    (folder / "root").mkdir()
    nbformat.write(notebook, folder / "root" / "test.ipynb")
    for name, values in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))


@contextmanager
def _server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a JupyterLab server on a free port; at the end stop it, and with it its kernels."""
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    # prefer the kernelspec of this environment; its "python" means the server's interpreter
    env = os.environ | {key: str(folder / name) for key, name in names.items()}
    env["JUPYTER_PREFER_ENV_PATH"] = "1"
    env.pop("JUPYTER_PATH", None)
    port = _free_port()
    where = [f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder / 'root'}"]
    log = folder / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, *SERVER_FLAGS, *where],
            env=env,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield server, f"http://127.0.0.1:{port}"
    except Exception as error:
        text = log.read_text(encoding="utf-8", errors="replace")
        error.add_note(f"The server's log ends with:\n{text[-3000:]}")
        raise
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()  # a kernel that outlives its server ends itself
        server.wait()


def _wait_for_server(server: subprocess.Popen[bytes], url: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), direct.open(f"{url}/api/status", timeout=5):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"JupyterLab didn't come up at {url} (exit code {server.poll()})")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _page() -> Iterator[Page]:
    """Start a headless browser with one empty page."""
    from playwright.sync_api import sync_playwright  # not installed everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_browser(), args=BROWSER_FLAGS)
        with closing(browser):
            yield browser.new_page(viewport={"width": 1280, "height": 900})


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)
