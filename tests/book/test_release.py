"""What a release needs is in place: one version, pinned actions, checked distributions, a citation."""

import json
import re
import subprocess
import tomllib

import pytest
import yaml
from helpers import ROOT
from packaging.specifiers import SpecifierSet

import fairnc_utils

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def workflow(name: str) -> dict:
    return yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())


def test_the_version_is_said_once():
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", fairnc_utils.__version__)
    assert f"\n## {fairnc_utils.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_is_complete_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == fairnc_utils.__version__
    assert (citation["title"], citation["license"]) == (PROJECT["name"], PROJECT["license"])
    assert set(citation) >= {"message", "abstract", "type", "authors", "keywords", "references"}
    paper, data = citation["references"]
    assert paper["doi"].endswith("2410.04472")
    assert len(paper["authors"]) == 5
    assert all({"type", "title", "authors"} <= set(reference) for reference in (paper, data))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit_with_its_version_beside_it(path):
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    assert [x for x in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", x)] == []


def test_one_action_is_one_commit_everywhere():
    used = [x for path in WORKFLOWS for x in re.findall(r"uses: (\S+)", path.read_text())]
    assert len(set(used)) == len({x.partition("@")[0] for x in used})


def test_only_the_step_that_publishes_may_say_who_it_is():
    release = workflow("release")
    assert release["permissions"] == {"contents": "read"}
    build, publish = release["jobs"]["build"], release["jobs"]["publish"]
    assert "permissions" not in build
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert not any("run" in step for step in publish["steps"]), "nothing of ours runs with it"
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert "secrets." not in text
    assert "password:" not in text


def test_the_library_is_tested_on_every_python_that_it_says():
    tested = workflow("tests")["jobs"]["library"]["strategy"]["matrix"]["python"]
    said = [x.rpartition(" ")[2] for x in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", x)]
    assert tested == said == [f"3.{minor}" for minor in range(11, 15)]
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(version) for version in tested)


def test_what_workflows_run_is_there():
    for path in WORKFLOWS:
        for script in re.findall(r"run: (\.ci/\w+)", path.read_text()):
            assert (ROOT / script).stat().st_mode & 0o111, script
            subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_a_tag_of_another_version_is_refused_before_anything_is_built():
    done = subprocess.run(
        [ROOT / ".ci/package", "v999.0.0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"the tag is v999.0.0 and __version__ is {fairnc_utils.__version__}" in done.stderr


def test_the_devcontainer_makes_what_the_makefile_makes():
    lines = (ROOT / ".devcontainer/devcontainer.json").read_text().splitlines()
    container = json.loads("\n".join(x for x in lines if not x.startswith("//")))
    name, _, python = container["image"].partition(":")
    assert name == "python"
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    makefile = (ROOT / "Makefile").read_text()
    make, target = container["postCreateCommand"].split()
    assert make == "make"
    assert f"\n{target.replace('.venv', '$(VENV)')}:" in makefile
    assert f"PORT ?= {container['forwardPorts'][1]}" in makefile
    assert "features" not in container, "what is fetched is in the lock"
