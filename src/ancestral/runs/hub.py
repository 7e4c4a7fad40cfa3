"""Runs on a model hub: download a revision into a local folder, and upload a folder.

Only the files of a run are downloaded, each below a size limit, into a folder of the user's cache that has the name of
the revision. A downloaded run is checked like any run folder from an unknown source.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.core.errors import InputError
from ancestral.core.files import MAX_JSON_BYTES
from ancestral.models.saved import MAX_CONFIG_BYTES
from ancestral.runs.export import CARD, FIGURE, FILES, THUMBNAIL
from ancestral.runs.manifest import CONFIG, LOG, MANIFEST, MAX_BYTES, WEIGHTS, Manifest
from ancestral.runs.run import Run

log = logging.getLogger("ancestral")
HUB = "hub:"
NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}")
REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,99}")
COMMIT = re.compile(r"[0-9a-f]{40}")
NEEDED = ("settings.json", CONFIG, WEIGHTS, MANIFEST)
MOST_PICTURES = 64
MOST_BYTES = {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: 8 << 30, LOG: 1 << 30, MANIFEST: MAX_BYTES, CARD: MAX_BYTES}
MOST_PICTURE_BYTES = 16 << 20


class Place(NamedTuple):
    """The place of a run on a hub.

    Args:      name: of the repository. revision: a branch, a tag or a commit; None for the newest.
    """

    name: str
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> Place:
        """Read `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`.

        Raises:    InputError: it is not of this form.
        """
        name, at, revision = text.removeprefix(HUB).partition("@")
        if not NAME.fullmatch(name) or (at and not REVISION.fullmatch(revision)) or ".." in text:
            raise InputError(f"{text}: give hub:OWNER/NAME, or hub:OWNER/NAME@REVISION")
        return cls(name, revision or None)


def is_on_hub(path: object) -> bool:
    """Whether a path starts with `hub:`."""
    return isinstance(path, str | Path) and str(path).startswith(HUB)


def fetch_run(text: str) -> Path:
    """The local folder of a run on a hub; downloaded into the cache unless it is there.

    Args:      text: `hub:OWNER/NAME`, or `hub:OWNER/NAME@REVISION`.
    Raises:    InputError: no such run; files are missing, too large, or do not match their SHA-256; or the hub cannot
               be reached.
    """
    place = Place.of(text)
    if place.revision and COMMIT.fullmatch(place.revision) and (known := _folder(place.name, place.revision)).exists():
        return known
    client = _client()
    with _told(f"{HUB}{place.name}"):
        found = client.model_info(place.name, revision=place.revision, files_metadata=True)
        commit = str(found.sha)
        sizes = {one.rfilename: one.size for one in found.siblings or []}
    if not COMMIT.fullmatch(commit):
        raise InputError(f"{text}: the hub does not state its commit, so it cannot be downloaded")
    folder = _folder(place.name, commit)
    if not folder.exists():
        _fetch(client, place.name, commit, _wanted(text, sizes), folder)
    if place.revision != commit:
        log.warning(
            "note: %s is at revision %s; use %s%s@%s for exactly this revision", text, commit, HUB, place.name, commit
        )
    return folder


def push_folder(folder: Path, name: str, private: bool) -> str:
    """Upload a folder to a hub as the newest revision of a repository, which is created if needed.

    Returns:   the revision.
    Raises:    InputError: a wrong name, or the hub rejects the request or cannot be reached.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise InputError(f"{name} is not a repository name: give OWNER/NAME")
    client = _client()
    with _told(name):
        client.create_repo(name, private=private, exist_ok=True)
        done = client.upload_folder(repo_id=name, folder_path=folder, commit_message="a run of ancestral")
    return str(done.oid)


def _client() -> Any:
    """Raises:    InputError: the package for hubs is not installed."""
    if find_spec("huggingface_hub") is None:
        raise InputError("a model hub needs huggingface-hub: pip install 'ancestral[hub]'")
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="ancestral")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Raises:    InputError: one line for any error of the hub or the network."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the exceptions come from several packages
        kind = type(error).__name__
        if kind in ("RepositoryNotFoundError", "RevisionNotFoundError"):
            what = "there is no such model" if kind.startswith("Repo") else "there is no such revision"
            raise InputError(f"{name}: {what} on the hub, or it is private and you are not logged in") from error
        reason = " ".join(str(error).split())[:200] or kind
        raise InputError(f"{name}: the hub rejects the request or cannot be reached: {reason}") from error


def _folder(name: str, commit: str) -> Path:
    import pooch

    return Path(pooch.os_cache("ancestral")) / "hub" / name.replace("/", "--") / commit


def _wanted(text: str, sizes: dict[str, int | None]) -> dict[str, int]:
    """The files to download, with their sizes in bytes.

    Raises:    InputError: files are missing or too large.
    """
    missing = [name for name in NEEDED if name not in sizes]
    if missing:
        raise InputError(f"{text} is not a run of ancestral: it has no {missing[0]}")
    pictures = sorted(name for name in sizes if FIGURE.fullmatch(name) or THUMBNAIL.fullmatch(name))
    known = [name for name in (*FILES, MANIFEST, CARD) if name in sizes]
    most = {name: MOST_BYTES.get(name, MAX_JSON_BYTES) for name in known}
    most |= dict.fromkeys(pictures[:MOST_PICTURES], MOST_PICTURE_BYTES)
    for name, bound in most.items():
        size = sizes[name]
        if size is None or not 0 <= size <= bound:
            raise InputError(f"{text}: {name} has {size} bytes, and the limit is {bound:,}")
    return {name: int(sizes[name] or 0) for name in most}


def _fetch(client: Any, name: str, commit: str, sizes: dict[str, int], folder: Path) -> None:
    """Download the files of a revision, check them, and rename the folder at the end.

    Raises:    InputError: a file has another content or size than listed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".", ignore_cleanup_errors=True) as temporary:
        whole = Path(temporary) / "run"
        get: Callable[..., Any] = client.hf_hub_download
        for file, size in sizes.items():
            with _told(f"{HUB}{name}"):
                found = Path(get(name, file, revision=commit, local_dir=whole))
            if found.resolve() != (whole / file).resolve() or found.stat().st_size != size:
                raise InputError(f"{HUB}{name}: {file} is not the file that the hub lists")
        shutil.rmtree(whole / ".cache", ignore_errors=True)  # files of the client
        for file, problem in Manifest(whole).problems():
            raise InputError(f"{HUB}{name}: {file}: {problem}")
        _ = Run(whole).record
        if not folder.exists():  # another process may have done it already
            os.replace(whole, folder)
