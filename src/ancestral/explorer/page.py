"""The explorer's page: one HTML file with models, engine and interface, which loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from ancestral.explorer.bundle import FOLDER, bundle

POLICY = (
    "default-src 'none'; script-src '{script}' blob:; worker-src blob:; style-src '{style}'; img-src data: blob:; "
    "connect-src 'none'; form-action 'none'; base-uri 'none'"
)


def page(title: str, models: list[dict[str, Any]], images: dict[str, Any] | None) -> str:
    """The whole page.

    Args:      title: text. models: as `describe` gives them. images: as `shown_images`.
    """
    style = FOLDER.joinpath("page", "explorer.css").read_text(encoding="utf-8")
    script = bundle("page/main")
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    content = {"title": title, "models": models, "images": images}
    template = FOLDER.joinpath("page", "explorer.html").read_text(encoding="utf-8")
    parts = {
        "POLICY": escape(policy, quote=True),
        "TITLE": escape(title),
        "STYLE": style,
        "CONTENT": _json(content),
        "WORKER": _json(bundle("engine/worker")),
        "SCRIPT": script,
    }
    for name, text in parts.items():
        template = template.replace(f"<!--{name}-->", text, 1)
    return template


def _json(value: Any) -> str:
    """JSON for the inside of a script element: no text of it can end the element."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
