"""Hooks of mkdocs.yml. README.md, CHANGELOG.md and CONTRIBUTING.md lie outside docs/, where code hosts look for them. Here they
become pages of the site, and the links between them and the pages of docs/ become links of the site."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_IN_REPOSITORY = {page: name for name, page in OUTSIDE.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    source = page.file.src_uri
    here = posixpath.dirname(_IN_REPOSITORY.get(source, f"docs/{source}"))

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found.groups()
        path = posixpath.normpath(posixpath.join(here, target))
        there = OUTSIDE.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(there) is None:
            # A file that is no page, such as a test, is named and not linked. What is nowhere is left for --strict to find.
            return text if os.path.exists(ROOT / path) and not path.startswith("docs/") else found[0]
        return f"[{text}]({posixpath.relpath(there, posixpath.dirname(source) or '.')}{anchor or ''})"

    return re.sub(r"\[([^\[\]]+)\]\(([^()#:\s]+)(#[^()\s]*)?\)", link, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    r"""In a table ``\|`` in code is a plain ``|`` on a code host, and Python-Markdown leaves the backslash."""
    return re.sub(r"<td.*?</td>", lambda cell: cell[0].replace("\\|", "|"), html, flags=re.DOTALL)
