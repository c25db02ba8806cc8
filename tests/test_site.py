"""The documentation as a site (mkdocs.yml): it builds without a warning, has every page, and needs no other host to be read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support import pages

pytestmark = pytest.mark.slow

PAGES = sorted(path.relative_to(pages.DOCS).with_suffix("").as_posix() for path in pages.DOCS.rglob("*.md"))
OUTSIDE = {"index": "README.md", "changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
LOADS = {"src", "srcset", "data", "poster", "action", "background"}
ANOTHER_HOST = re.compile(r"\s*(?:[a-z]+:)?//", re.IGNORECASE)
# Hosts that the theme's script names in comments, and those that it asks for where a page has what stands beside them: a diagram of
# Mermaid, or the box of a repository (repo_url in mkdocs.yml). No page here has either.
IN_COMMENTS = {"lunrjs.com", "tartarus.org", "bit.ly", "clipboardjs.com", "www.w3.org"}
ASKED_FOR_WITH = {
    "unpkg.com": 'class="mermaid',
    "api.github.com": 'data-md-component="source"',
    "${e}": 'data-md-component="source"',
}


class Loaded(HTMLParser):
    """What a browser loads by itself to show a page: everything but the targets of links to follow."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and (name in LOADS or (name == "href" and tag not in ("a", "area")))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=pages.ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_in_the_navigation(site: Path):
    assert len(PAGES) > 15
    first = (site / "index.html").read_text(encoding="utf-8")
    navigation = first.split("md-sidebar--primary", 1)[1].split("md-sidebar--secondary", 1)[0]
    for page in [*PAGES, *OUTSIDE]:
        assert (site / f"{page}.html").is_file(), page
        assert f'href="{page}.html"' in navigation, f"{page} is not in the navigation of mkdocs.yml"


def test_a_page_outside_docs_has_its_text_and_links_in_the_site(site: Path):
    for page, source in OUTSIDE.items():
        html = (site / f"{page}.html").read_text(encoding="utf-8")
        heading = re.search(r"^# (.+)$", (pages.ROOT / source).read_text(encoding="utf-8"), re.MULTILINE)
        assert heading and heading[1] in html
    for path in site.rglob("*.html"):
        for target in re.findall(r'<a [^>]*href="([^"#]+\.md)', path.read_text(encoding="utf-8")):
            pytest.fail(f"{path.name} links to {target}, which is no page of the site")


def test_every_link_within_the_site_leads_to_an_existing_place(site: Path):
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html") if path.name != "404.html"}
    for path, text in texts.items():
        for target, anchor in re.findall(r'<a [^>]*href="([^":#]*)(#[^"]+)?"', text):
            there = (path.parent / target).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            assert there.exists(), f"{path.name}: {target}"
            assert not anchor or f'id="{anchor[1:]}"' in texts[there], f"{path.name}: {target}{anchor}"


def test_the_search_finds_words_of_every_page(site: Path):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert {entry["location"].partition("#")[0].removesuffix(".html") for entry in index["docs"]} - {""} >= {*PAGES} - {"index"}
    assert any("MinFreeBytes" in entry["text"] for entry in index["docs"])
    assert 'data-md-component="search"' in (site / "index.html").read_text(encoding="utf-8")
    assert list(site.rglob("search*.js")), "the search's worker"


def test_nothing_is_loaded_from_another_host(site: Path):
    html = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    for path, text in html.items():
        loaded = Loaded(text).found
        assert loaded and [one for one in loaded if ANOTHER_HOST.match(one)] == [], path.name
    styles = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.css")} | html
    for path, text in styles.items():
        loaded = re.findall(r"url\(\s*[\"']?([^)\"']*)|@import\s+[\"']([^\"']*)", text)
        assert [one for pair in loaded for one in pair if ANOTHER_HOST.match(one)] == [], path.name
    assert list(site.rglob("*.css")) and list(site.rglob("*.js"))
    # In lunr/ is what the search would take for other languages.
    scripts = [path for path in site.rglob("*.js") if "lunr" not in path.parts]
    for path in scripts:
        for host in set(re.findall(r"https?://([^/\"'` )]+)", path.read_text(encoding="utf-8"))) - IN_COMMENTS:
            assert host in ASKED_FOR_WITH, f"{path.name} names {host}"
            assert not any(ASKED_FOR_WITH[host] in text for text in html.values())


def test_what_would_be_loaded_from_another_host_is_seen():
    bad = '<link rel="stylesheet" href="//fonts.example/x.css"><script src="https://cdn.example/x.js"></script><a href="https://ok/">x</a>'
    assert [one for one in Loaded(bad).found if ANOTHER_HOST.match(one)] == ["//fonts.example/x.css", "https://cdn.example/x.js"]
