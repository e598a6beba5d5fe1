"""Check the built website: links, other hosts, and in a browser its looks and its accessibility.

    python docs/check.py build/site                       # links, anchors and foreign resources: a second
    python docs/check.py build/site --axe axe.min.js      # and every page in chromium: some minutes

For the second: chromium (a Debian package), the extra [browser], and from `npm pack axe-core@4.14.1` the file
package/axe.min.js. Screenshots, light and dark, desktop and phone, go to screenshots/, which git ignores.
"""

from __future__ import annotations

import argparse
import functools
import html.parser
import http.server
import re
import shutil
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any

RESOURCES = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "embed": "src"}
RESOURCES |= {"object": "data", "use": "href", "image": "href"}
FOREIGN = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
STYLE = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
SIZES = {"desktop": (1300, 900), "phone": (390, 844)}
BAD = ("serious", "critical")


class Page(html.parser.HTMLParser):
    """What one page links to, what it loads, and where it can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loads.append(values["href"])
        elif tag in RESOURCES and RESOURCES[tag] in values:
            self.loads.append(values[RESOURCES[tag]])
        if "style" in values:
            self.loads += used(values["style"])


def used(style: str) -> list[str]:
    """What a piece of CSS loads."""
    return [one or other for one, other in STYLE.findall(style) if not (one or other).startswith("data:")]


def crawl(site: Path) -> list[str]:
    """Links and anchors that lead nowhere, doubled ids, and whatever would be loaded from another host."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        found += [
            f"{where}: the id {id!r} occurs twice" for id in sorted({i for i in page.ids if page.ids.count(i) > 1})
        ]
        found += [f"{where}: loads {url}" for url in page.loads if FOREIGN.match(url)]
        for link in page.links + [url for url in page.loads if not url.startswith("data:")]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{where}: no file for {link}")
            elif parts.fragment and target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].ids:
                found.append(f"{where}: no anchor for {link}")
    for path in site.rglob("*.css"):
        for url in used(path.read_text(encoding="utf-8")):
            if FOREIGN.match(url) or not (path.parent / url.split("?")[0].split("#")[0]).is_file():
                found.append(f"{path.relative_to(site)}: loads {url}")
    return found


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def look(site: Path, axe: Path, only: list[str]) -> list[str]:
    """Every page in a browser: requests, errors, width, accessibility, and a picture of each mode and size."""
    from playwright.sync_api import sync_playwright

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_address[1]}/"
    shots = Path(__file__).resolve().parents[1] / "screenshots"
    shots.mkdir(exist_ok=True)
    found: list[str] = []
    told = 0
    names = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html"))]
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.on(
            "request", lambda request: request.url.startswith((root, "data:")) or found.append(f"asks {request.url}")
        )
        page.on("console", lambda said: said.type == "error" and found.append(f"{page.url}: console: {said.text}"))
        page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
        for name in [name for name in names if not only or any(part in name for part in only)]:
            page.goto(root + name, wait_until="load")
            for mode in ("light", "dark"):
                page.evaluate("mode => { document.body.dataset.theme = mode }", mode)
                for size, (width, height) in SIZES.items():
                    page.set_viewport_size({"width": width, "height": height})
                    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                    if wide > 0:
                        found.append(f"{name}, {size}: {wide} pixels too wide")
                    page.screenshot(path=str(shots / f"{name.replace('/', '-')[:-5]}-{mode}-{size}.png"))
                page.set_viewport_size({"width": 1300, "height": 900})
                found += [f"{name}, {mode}: {line}" for line in accessibility(page, axe)]
            print(f"{name}: seen, {len(found)} findings so far", *found[told:], sep="\n", flush=True)
            told = len(found)
        found += try_search(page, root)
        browser.close()
    server.shutdown()
    return found


def accessibility(page: Any, axe: Path) -> list[str]:
    """What axe finds serious or critical."""
    page.evaluate(axe.read_text(encoding="utf-8"))
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['impact']} {rule['id']}, {len(rule['nodes'])} times: {rule['nodes'][0]['html'][:160]}"
        for rule in result["violations"]
        if rule["impact"] in BAD
    ]


def try_search(page: Any, root: str) -> list[str]:
    """The search finds something, and the button changes the mode."""
    found = []
    page.goto(root + "search.html?q=ledger", wait_until="load")
    try:
        page.locator("#search-results ul.search li").first.wait_for(timeout=60_000)
    except Exception as error:
        found.append(f"search: {error}")
    before = page.evaluate("document.body.dataset.theme")
    page.locator("button.theme-toggle:visible").first.click()
    if page.evaluate("document.body.dataset.theme") == before:
        found.append("the button for light and dark does nothing")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--axe", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of pages to open in the browser")
    arguments = parser.parse_args()
    site = arguments.site.resolve()
    if not (site / "index.html").is_file():
        sys.exit(f"{site} holds no index.html; build the site first")
    found = crawl(site) + (look(site, arguments.axe, arguments.only) if arguments.axe else [])
    print("\n".join(found) or "Nothing wrong found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
