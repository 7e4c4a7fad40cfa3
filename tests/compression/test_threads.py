"""Blocks that are coded in several threads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_codes import CODES
from zoo import ZOO

from ancestral.compression import files
from ancestral.compression.codes import kind_of
from ancestral.compression.files import compress_levels, decompress_levels
from ancestral.families.autoregressive.made import MADE


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


ONE_OF_EACH = list({kind_of(ZOO[name]()): name for name in reversed(CODES)}.values())


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_file_does_not_depend_on_the_number_of_threads(name: str, tmp_path: Path) -> None:
    model = ZOO[name]().eval()
    assert model.levels is not None
    x, contents = torch.randint(model.levels, (20, *model.event_shape), generator=torch.Generator().manual_seed(1)), []
    for count in (1, 3):
        torch.set_num_threads(count)
        path = tmp_path / f"{count}.anc"
        compress_levels(model, x, path, "test", block=8)
        contents.append(path.read_bytes())
        assert torch.equal(decompress_levels(model, path).levels, x)
        assert torch.get_num_threads() == count
    assert contents[0] == contents[1]
    torch.set_num_threads(1)
    assert torch.equal(decompress_levels(model, tmp_path / "3.anc").levels, x)


def test_an_error_in_one_thread_stops_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = MADE([1, 3, 3], hidden=(16,)).eval(), tmp_path / "x.anc"
    compress_levels(model, torch.zeros(40, 1, 3, 3, dtype=torch.int64), path, "test", block=4)
    right, asked = files._decoded, []

    def failing(code, header, blocks):
        if blocks[0].number == 0:
            raise KeyboardInterrupt
        asked.append(code.stopped.wait(5))
        code.check_stopped()
        return right(code, header, blocks)

    monkeypatch.setattr(files, "_decoded", failing)
    monkeypatch.setattr(files, "STEPS_AT_ONCE", 0)
    torch.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt):
        decompress_levels(model, path)
    assert all(asked) and len(asked) < 9 and torch.get_num_threads() == 2
