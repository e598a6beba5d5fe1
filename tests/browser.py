"""Open JupyterLab in a browser, run notebooks, move each widget and see what it shows change.

    python tests/browser.py [NAME ...]      # by default all of ACTS; some minutes

Needs chromium (a Debian package) and the extra [browser].

Runs on a copy of the notebooks, so that nothing is saved into them. Screenshots, light and dark, go to screenshots/,
which git ignores.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).parents[1]
SHOTS = ROOT / "screenshots"
TOKEN, MINUTES = "browser", 10
Act = Callable[[Locator, Page], Any]


def slide(widget: Locator, page: Page) -> None:
    """The first slider, by the keyboard."""
    widget.locator(".noUi-handle").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")


def choose(number: int) -> Act:
    """Another entry of a menu."""

    def act(widget: Locator, page: Page) -> None:
        menu = widget.locator("select").nth(number)
        menu.select_option(index=0 if menu.evaluate("menu => menu.selectedIndex") else 1)

    return act


def click(number: int) -> Act:
    """A button."""
    return lambda widget, page: widget.locator("button").nth(number).click()


def tick(widget: Locator, page: Page) -> None:
    """The check box."""
    widget.locator("input[type=checkbox]").first.click()


# What to do with the widget of each notebook, in turn. Every act has to change what is shown.
ACTS: dict[str, list[Act]] = {
    "00_first_search": [slide, click(0), click(1)],
    "02_the_critic": [tick, choose(0)],
    "03_budget_aware_selection": [slide, choose(0)],
    "04_the_search": [slide, click(0)],
    "05_efficiency": [choose(0), choose(1), choose(2), click(0)],
}


def set_up(folder: Path) -> None:
    """JupyterLab's settings: the light theme, and all cells in the page at once."""
    own = {"notebook-extension/tracker": {"windowingMode": "none"}}
    own |= {"apputils-extension/themes": {"theme": "JupyterLab Light"}}
    own |= {"apputils-extension/notification": {"fetchNews": "false"}}
    for name, value in own.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")


def waiting(page: Page) -> bool:
    """Whether a cell is running or about to."""
    return any("*" in prompt for prompt in page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts())


def run_all(page: Page, url: str) -> None:
    """Open a notebook and run its cells; waits for the last one."""
    page.goto(url)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=120_000)
    for _ in range(10):  # a click before the kernel is there does nothing
        page.wait_for_timeout(3000)
        page.get_by_text("Run", exact=True).first.click()
        page.locator('li[data-command="runmenu:run-all"]').click()
        page.wait_for_timeout(2000)
        if waiting(page):
            break
    end = time.monotonic() + MINUTES * 60
    while waiting(page) and time.monotonic() < end:
        page.wait_for_timeout(2000)
    errors = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts()
    assert not errors, errors
    assert not waiting(page), f"still running after {MINUTES} minutes"


def try_widget(page: Page, acts: list[Act]) -> int:
    """Do each act and see that the pictures or words change. Returns how many did."""
    widget = page.locator(".jp-Notebook .widget-vbox, .jp-Notebook .jupyter-widgets.widget-box").first
    widget.scroll_into_view_if_needed()
    for number, act in enumerate(acts, 1):
        before = widget.locator(".widget-html-content").all_inner_texts()
        act(widget, page)
        for _ in range(60):
            page.wait_for_timeout(500)
            if widget.locator(".widget-html-content").all_inner_texts() != before:
                break
        else:
            raise AssertionError(f"nothing changed after act {number}")
    return len(acts)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as free:
        folder, settings = Path(scratch) / "notebooks", Path(scratch) / "settings"
        shutil.copytree(ROOT / "notebooks", folder)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        set_up(settings)
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
        command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
        server = subprocess.Popen(command, env={**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(settings)})
        try:
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={TOKEN}", timeout=2).close()
                    break
                except OSError:
                    time.sleep(1)
            look(f"http://127.0.0.1:{port}/lab/tree/", settings)
        finally:
            server.terminate()
            server.wait()


def look(address: str, settings: Path) -> None:
    """All of ACTS in one browser."""
    SHOTS.mkdir(exist_ok=True)
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=browser_path, args=options)
        for name, acts in ((name, ACTS[name]) for name in sys.argv[1:] or ACTS):
            page = browser.new_page(viewport={"width": 1300, "height": 1400})
            url = f"{address}{name}.ipynb?token={TOKEN}&reset"
            set_up(settings)
            run_all(page, url)
            done = try_widget(page, acts)
            page.screenshot(path=str(SHOTS / f"{name}-light.png"))
            page.get_by_text("Settings", exact=True).first.click()
            page.get_by_text("Theme", exact=True).first.hover()
            page.get_by_text("JupyterLab Dark", exact=True).first.click()
            page.wait_for_timeout(3000)
            page.screenshot(path=str(SHOTS / f"{name}-dark.png"))
            page.goto("about:blank")
            page.close()
            print(f"{name}: ran, {done} of {done} acts changed what is shown", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
