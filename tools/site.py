"""What the documentation site adds to `docs/`: files that live elsewhere in the repository, and links to them.

A hook of MkDocs. The files of `PAGES` become pages, and links that leave `docs/` are pointed at them, so that a page
reads the same in the repository and on the site. A link to any other file of the repository becomes its text alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent

# Where each file of the repository is on the site.
PAGES = {
    "benches/RESULTS.md": "RESULTS.md",
    "benches/results/packages_200k.png": "results/packages_200k.png",
    "benches/results/packages_200k.json": "results/packages_200k.json",
    "benches/results/simulate/paper/paper.json": "results/simulate/paper/paper.json",
    "benches/results/simulate/paper-packages/paper.json": "results/simulate/paper-packages/paper.json",
    "tests/bugs/RESULTS.md": "bugs.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "ARCHITECTURE.md": "ARCHITECTURE.md",
}
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]+)((?:#[^)\s]*)?)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that live elsewhere."""
    for source, target in PAGES.items():
        content = (ROOT / source).read_bytes()
        files.append(File.generated(config, target, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links of a page at where their targets are on the site."""
    here = page.file.src_uri
    origin = {target: source for source, target in PAGES.items()}.get(here, f"docs/{here}")

    def pointed(match: re.Match[str]) -> str:
        link = match[2]
        if "://" in link or link.startswith(("/", "mailto:")):
            return match[0]
        source = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
        target = PAGES.get(source, source.removeprefix("docs/") if source.startswith("docs/") else None)
        if target is None:
            return match[1] if (ROOT / source).exists() else match[0]
        return f"[{match[1]}]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{match[3]})"

    return _LINK.sub(pointed, markdown)
