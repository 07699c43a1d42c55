"""Recipes for a server: what they name is there, and they agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from llmcalc.link_text import LINK_VERSION
from llmcalc.version import VERSION

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def test_the_image_has_what_the_app_is_made_of_and_is_not_run_by_root():
    docker = text("Dockerfile")
    copied = set(re.findall(r"^COPY (?!--)(\S+)", docker, re.M))
    assert copied == {"deploy/requirements.lock", "app.py", ".streamlit", "llmcalc", "pages"}
    assert all((ROOT / name).exists() for name in copied)
    allowed = set(re.findall(r"^!(\S+)", text("Dockerfile.dockerignore"), re.M))
    assert allowed == copied
    assert re.search(r"^USER (?!root|0\b)\S+", docker, re.M)
    assert "_stcore/health" in docker
    version = re.search(r"FROM python:(\d+)\.(\d+)", docker)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f">={version[1]}.{version[2]}" == project["requires-python"]


def test_readers_stay_with_a_process_and_every_process_is_one_of_the_proxys():
    nginx, unit = text("nginx.conf"), text("llmcalc@.service")
    ports = set(re.findall(r"server 127\.0\.0\.1:(\d+)", nginx))
    told = set(re.findall(r"llmcalc@(\d+)", unit))
    assert ports == told == {"8501", "8502"}
    assert "hash $llmcalc_seat consistent" in nginx
    cookie = re.search(r'Set-Cookie "(\w+)=', nginx)
    assert f"$cookie_{cookie[1]}" in nginx
    assert f"session-cookie-name: {cookie[1]}" in text("kubernetes.yaml")
    compose = text("compose.yaml")
    for given, put in re.findall(r"s/(.+?)/(.+?)/", compose):
        nginx = nginx.replace(given, put)
    kept = [line for line in nginx.splitlines() if not any(d in line for d in re.findall(r"-e '/(.+?)/d'", compose))]
    assert re.findall(r"server (\S+) max_fails", "\n".join(kept)) == ["app:8501"]


def test_the_same_secret_for_every_process():
    for name in ("compose.yaml", "kubernetes.yaml", "llmcalc@.service", "README.md"):
        assert "STREAMLIT_SERVER_COOKIE_SECRET" in text(name), name


def test_the_readme_names_every_recipe():
    links = set(re.findall(r"\]\(([^):]+)\)", text("README.md")))
    assert links == {file.name for file in DEPLOY.iterdir()} - {"README.md", "Dockerfile.dockerignore"}


def _pinned(file: Path) -> dict[str, str]:
    """The version of each package, by its normalized name."""
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_image_installs_what_the_requirements_pin_each_file_by_its_hash():
    wanted, locked = _pinned(ROOT / "requirements.txt"), _pinned(DEPLOY / "requirements.lock")
    assert wanted.items() <= locked.items()
    assert set(locked) - set(wanted) <= {"colorama", "httpx2-jsfetch"}  # on systems other than Linux alone
    entries = re.split(r"\n(?=\w)", text("requirements.lock").split("\n", 2)[-1])
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "--require-hashes" in text("Dockerfile")


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert versions[0] == VERSION
    assert versions == sorted(versions, key=lambda v: [*map(int, v.split("."))], reverse=True)
    told = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("## 0.1.0")[0]
    assert f"Links are of version {LINK_VERSION}" in told
