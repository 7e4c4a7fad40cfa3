"""`config.toml`: the settings of a run, as a file that can be used to train it again."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from ancestral.families.catalogue import is_plug_in
from ancestral.families.run_settings import Settings, without_effect

CONFIG_FILE = "config.toml"


def config_text(settings: Settings) -> str:
    """TOML with every setting of a run that has an effect, defaults included, because defaults may change.

    A setting that is None is omitted if that is its default, else it is "none".
    """
    lines = [
        "# The settings of a run. To train it again, to the same weights:",
        "#     ancestral train --config FILE --out NEW" + " --family FILE.py" * is_plug_in(settings.family),
        f"family = {_toml(settings.family)}",
    ]
    idle = without_effect(settings.model, settings.data, settings.training)
    for part in (settings.data, settings.model, settings.training):
        lines.append("")
        defaults = type(part)()
        for name in (field.name for field in fields(part)):
            value = getattr(part, name)
            if name in idle or (value is None and getattr(defaults, name) is None):
                continue
            lines.append(f"{name} = {_toml('none' if value is None else value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML; strings are written as in JSON, which is valid TOML."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
