"""What a page is made of: stored weights, the modules of its program, and the file itself."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_pages import described

import ancestral
from ancestral.explorer import bundle as bundles
from ancestral.explorer.bundle import bundle, in_order, source
from ancestral.explorer.describe import shown_images
from ancestral.explorer.packing import Packing
from ancestral.explorer.page import page

FOLDER = Path(str(bundles.FOLDER))
MODULES = {"engine/worker": "engine", "page/main": "page"}  # entry, folder whose modules it needs
TYPES = {"float16": np.float16, "float32": np.float32, "int32": np.int32}


def unpacked(place: dict[str, Any], text: str) -> np.ndarray:
    """A stored tensor as the page reads it."""
    content = gzip.decompress(base64.b64decode(text))
    kind = np.dtype(TYPES[place["type"]])
    assert place["at"] % kind.itemsize == 0, "a typed array begins at a multiple of its size"
    return np.frombuffer(content, kind, place["size"], place["at"]).reshape(place["shape"])


def test_stored_tensors_are_exact_and_as_small_as_they_can_be() -> None:
    halves = torch.tensor([[1.0, -0.5, 65504.0]])
    others = {
        "single": torch.tensor([0.1, 1.0]),
        "large": torch.tensor([70000.0]),
        "tiny": torch.tensor([1e-9]),
        "open": torch.tensor([-math.inf]),
    }
    packing = Packing()
    stored = packing.replace(
        {"halves": halves, "nested": [{"order": torch.tensor([3, 1, 2])}], **others, "kept": "word"}
    )
    assert stored["halves"]["type"] == "float16" and stored["halves"]["shape"] == [1, 3]
    assert {stored[name]["type"] for name in others} == {"float32"} and stored["kept"] == "word"
    for name, tensor in {"halves": halves, **others}.items():
        assert (unpacked(stored[name], packing.text()) == tensor.numpy()).all()
    assert unpacked(stored["nested"][0]["order"], packing.text()).tolist() == [3, 1, 2]


def test_equal_tensors_are_stored_once() -> None:
    packing = Packing()
    first, again, other = packing.replace([torch.arange(6.0), torch.arange(6.0).view(2, 3), torch.arange(1.0, 7.0)])
    assert first["at"] == again["at"] and again["shape"] == [2, 3]
    assert [unpacked(place, packing.text()).flatten()[0] for place in (first, again, other)] == [0, 0, 1]
    assert len(gzip.decompress(base64.b64decode(packing.text()))) == 2 * 12  # in half precision


def test_the_same_tensors_give_the_same_text() -> None:
    texts = set()
    for _ in range(2):
        packing = Packing()
        packing.replace([torch.arange(7.0), torch.arange(3)])
        texts.add(packing.text())
    assert len(texts) == 1


@pytest.mark.parametrize("entry", MODULES)
def test_every_module_is_in_the_program_once_after_those_it_imports(entry: str) -> None:
    folder = MODULES[entry]
    names = in_order(*entry.split("/"))
    assert sorted(names) == sorted(path.stem for path in (FOLDER / folder).glob("*.js"))
    for name in names:
        text = source(folder, name)
        imported = re.findall(r'^import .* from "\./(\w+)\.js";$', text, re.MULTILINE)
        assert text.count("\nimport ") + text.startswith("import ") == len(imported)
        assert all(names.index(other) < names.index(name) for other in imported)
        exports = set(re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", text, re.MULTILINE))
        assert text.count("\nexport ") + text.startswith("export ") == len(exports)


@pytest.mark.parametrize("entry", MODULES)
def test_modules_import_only_what_others_export(entry: str) -> None:
    folder = MODULES[entry]
    for name in in_order(*entry.split("/")):
        found = re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";', source(folder, name), re.MULTILINE)
        for words, other in found:
            for word in filter(None, (part.strip() for part in words.split(","))):
                definition = rf"^export (async )?(function|class|const) {word}\b"
                assert re.search(definition, source(folder, other), re.MULTILINE), f"{other}.js has no {word}"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("entry", MODULES)
def test_programs_parse(entry: str, tmp_path: Path) -> None:
    (tmp_path / "program.js").write_text(bundle(entry))
    done = subprocess.run(["node", "--check", str(tmp_path / "program.js")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_engine_stays_small() -> None:
    """2,000 lines for eight families, 400 for circuits and any-order models, and 150 for models of each class."""
    lines = [line.strip() for path in (FOLDER / "engine").glob("*.js") for line in path.read_text().splitlines()]
    assert len([line for line in lines if line and not line.startswith("//")]) < 2550


EVIL = "</script><!-- <b>\u2028 & 'quoted' \"double\" <!--STYLE-->"


def test_a_page_holds_its_content_whatever_the_names_are() -> None:
    model = {**described("mixture", "mixture"), "name": EVIL}
    text = page(EVIL, [model], None)
    (content,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', text, re.DOTALL)
    assert json.loads(content) == {"title": EVIL, "models": [json.loads(json.dumps(model))], "images": None}
    assert text.count("</script>") == 3 and "<!--" not in text.split("<body>")[1].split('id="worker"')[0]
    (title,) = re.findall("<title>(.*?)</title>", text, re.DOTALL)
    assert unescape(title) == EVIL and "<" not in title


def test_the_policy_allows_the_pages_own_script_and_style_only() -> None:
    text = page("Title", [described("mixture", "mixture")], None)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in unescape(policy).split(";"))
    assert rules["default-src"] == "'none'" and rules["connect-src"] == "'none'"
    for rule, tag in (("script-src", "script"), ("style-src", "style")):
        (held,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()
        assert rules[rule].split()[0] == f"'sha256-{digest}'"
    assert "unsafe" not in policy and "http" not in policy.replace("http-equiv", "")
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", text)


def test_test_images_keep_their_pixels_under_a_threshold(tmp_path: Path) -> None:
    """Level 8 of 0 to 16 is exactly one half, which a threshold makes 0, in the page too."""
    run = ancestral.fit("mixture", tmp_path / "run", data="digits", epochs=1, train_size=60, valid_size=20)
    shown = shown_images(run, 40)
    assert shown is not None
    in_page = (torch.tensor(shown["pixels"]) / 255 > 0.5).float()
    stored = run.data.stored("test").first(40).images
    assert (stored == 8).any()
    assert torch.equal(in_page, run.data.space.convert(stored).flatten(1))
