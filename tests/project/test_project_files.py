"""Files that a project has beside its code: citation, policies, templates, hosted checks, decision records."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
POLICIES = ["SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", ".github/PULL_REQUEST_TEMPLATE.md"]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
DECISIONS = sorted(path for path in (ROOT / "docs/decisions").glob("*.md") if path.name != "index.md")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_citation_names_the_version_and_licence_of_the_package() -> None:
    citation = read_yaml(ROOT / "CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.mark.parametrize("name", [*POLICIES, "CITATION.cff"])
def test_policies_contain_no_address_that_nobody_reads(name: str) -> None:
    assert not ADDRESS.findall((ROOT / name).read_text())


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_the_host_requires(path: Path) -> None:
    form = read_yaml(path)
    if path.stem == "config":
        assert isinstance(form["blank_issues_enabled"], bool)
        return
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids)) > 0
    assert all(field["attributes"]["label"] for field in form["body"])


def test_hosted_checks_use_no_secrets_and_call_the_same_targets_as_contributors() -> None:
    text = (ROOT / ".github/workflows/checks.yml").read_text()
    workflow = yaml.safe_load(text)
    assert "secrets." not in text
    assert "vars.PIP_INDEX_URL" in text
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    targets = {step.split()[1] for step in steps if step.startswith("make ")}
    assert {"check", "test", "docs"} <= targets
    assert targets <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    versions = workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert len(versions) == 3
    assert versions[0] == PROJECT["requires-python"].removeprefix(">=")


def test_the_index_of_decisions_lists_each_with_its_date() -> None:
    listed = dict(
        re.findall(
            r"\| \[[^\]]+\]\(([\w-]+\.md)\) \| (\d{4}-\d\d-\d\d) \|", (DECISIONS[0].parent / "index.md").read_text()
        )
    )
    assert set(listed) == {path.name for path in DECISIONS}
    for path in DECISIONS:
        text = path.read_text()
        assert f"Date: {listed[path.name]}" in text
        assert all(f"## {part}" in text for part in ("Problem", "Decision", "Consequences", "Rejected")), path.name
        assert len(text.splitlines()) < 80, "a decision fits on one page"


def test_public_packages_are_those_of_the_decision_record() -> None:
    text = (ROOT / "docs/decisions/public-names.md").read_text().split("public: ")[1].split(". Everything")[0]
    named = {name.removeprefix("ancestral.") for name in re.findall(r"`([\w.]+)`", text)} - {"ancestral"}
    assert named == {path.parent.name for path in (ROOT / "src/ancestral").glob("*/__init__.pyi")}
