"""A config from the Hub, played here by a small server: the file or our own error, in time, and nothing on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcalc import InputError
from llmcalc.hub import PROBLEMS, fetch_config, repo_and_revision
from llmcalc.words import w

ROOT = Path(__file__).parent.parent
GPT2 = {"model_type": "gpt2", "n_layer": 12}
LIMIT = 0.4  # seconds, for what never ends
# What the Hub answers for a repository of this name: status, headers, body. The headers are those that
# huggingface_hub.utils.hf_raise_for_status looks for.
ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "good": (200, {}, json.dumps(GPT2).encode()),
    "renamed": (307, {"Location": "/owner/good/resolve/main/config.json"}, b"Temporary Redirect"),
    "circle": (307, {"Location": "/owner/circle/resolve/main/config.json"}, b""),
    "nowhere": (302, {}, b""),
    "to_disk": (302, {"Location": "file:///etc/hostname"}, b""),
    "private": (401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b"{}"),
    "plain_401": (401, {}, b"Invalid username or password."),
    "plain_404": (404, {}, b"Not found"),
    "bad_token": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b"{}"),
    "gated": (403, {"X-Error-Code": "GatedRepo"}, b"Access to this model is restricted"),
    "gated_anonymous": (401, {"X-Error-Code": "GatedRepo"}, b"Access to this model is restricted"),
    "forbidden": (403, {}, b"Forbidden"),
    "empty": (404, {"X-Error-Code": "EntryNotFound"}, b"Entry not found"),
    "no_branch": (404, {"X-Error-Code": "RevisionNotFound"}, b"Revision not found"),
    "broken": (500, {}, b"Internal error " * 10_000),
    "busy": (429, {"Retry-After": "60"}, b"Too many requests"),
    "page": (200, {"Content-Type": "text/html"}, b"<!doctype html><title>Log in</title>"),
    "list": (200, {}, b"[1, 2]"),
    "latin": (200, {}, b'{"model_type": "\xe9"}'),
    "squeezed": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08\x00"),
    "large": (200, {}, b'{"a": "' + b"x" * 4_000_000 + b'"}'),
    "cut_off": (200, {"Content-Length": "1000"}, b"{"),
}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        path = unquote(self.path)
        self.server.asked.append((path, dict(self.headers)))
        name = path.split("/")[2]
        if name in ANSWERS:
            status, headers, body = ANSWERS[name]
            self._answer(status, {"Content-Length": str(len(body)), **headers}, body)
        elif name == "elsewhere":
            self._answer(302, {"Location": f"{self.server.other}/owner/good/resolve/main/config.json"}, b"")
        elif name == "endless":
            self._answer(200, {}, b"[")
            self._until_left(b"0," * 1000, 0)
        elif name == "drip":
            self._answer(200, {}, b"[")
            self._until_left(b" ", 0.05)
        elif name == "drip_headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self._until_left(b"x", 0.05)
        else:
            self.server.closing.wait(5)

    def _answer(self, status, headers, body):
        self.send_response(status)
        for header in headers.items():
            self.send_header(*header)
        self.end_headers()
        with suppress(OSError):  # whoever asked may have seen enough
            self.wfile.write(body)

    def _until_left(self, piece, pause):
        with suppress(OSError):
            while not self.server.closing.wait(pause):
                self.wfile.write(piece)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Hub)
        self.asked, self.closing, self.other = [], threading.Event(), ""
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.closing.set()
        self.shutdown()
        self.server_close()


WATCHING = threading.Event()
WRITTEN: list[str] = []


def _note_what_is_written(event, args):
    if not WATCHING.is_set():
        return
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    if event == "os.mkdir" or (event == "open" and isinstance(args[2], int) and args[2] & writing):
        WRITTEN.append(str(args[0]))


@pytest.fixture(scope="module", autouse=True)
def _audit():
    sys.addaudithook(_note_what_is_written)


@pytest.fixture
def hub(monkeypatch) -> Iterator[Server]:
    """The Hub, of which a test asks something; whatever that is, no file may be opened for writing, in any place."""
    server = Server()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    WRITTEN.clear()
    WATCHING.set()
    yield server
    WATCHING.clear()
    assert [path for path in WRITTEN if "__pycache__" not in path] == []
    server.stop()


def refusal(repo_id: str, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        fetch_config(repo_id, **options)
    error = caught.value
    assert error.input_id == "hub_id"
    assert str(error) == PROBLEMS[error.code].format(**error.details)
    assert w(f"problems.{error.code}", **error.details)
    return error


def test_the_file_is_all_that_is_asked_for(hub):
    assert fetch_config("owner/good") == GPT2
    [(path, headers)] = hub.asked
    assert path == "/owner/good/resolve/main/config.json"
    assert "authorization" not in {name.lower() for name in headers}


@pytest.mark.parametrize(
    ("given", "options", "path"),
    [
        ("owner/good@v1.0", {}, "/owner/good/resolve/v1.0/config.json"),
        ("owner/good", {"revision": "refs/pr/3"}, "/owner/good/resolve/refs/pr/3/config.json"),
        ("owner/good@v1", {"revision": "v2"}, "/owner/good/resolve/v2/config.json"),
        ("https://huggingface.co/owner/good/tree/main", {}, "/owner/good/resolve/main/config.json"),
    ],
)
def test_the_revision_is_asked_for_at_the_endpoint_of_the_environment(hub, given, options, path):
    assert fetch_config(given, **options) == GPT2
    assert [asked for asked, _ in hub.asked] == [path]


def test_a_renamed_repository_is_followed(hub):
    assert fetch_config("owner/renamed") == GPT2


def test_the_token_goes_to_the_hub_and_not_where_the_hub_redirects_to(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", " hf_secret\n")
    other = Server()
    hub.other = other.url
    assert fetch_config("owner/elsewhere") == GPT2
    other.stop()
    sent = [{name.lower(): value for name, value in s.asked[0][1].items()}.get("authorization") for s in (hub, other)]
    assert sent == ["Bearer hf_secret", None]


@pytest.mark.parametrize(
    ("name", "code", "advice"),
    [
        ("private", "hub_missing", "check the spelling"),
        ("plain_401", "hub_missing", "paste the config.json"),
        ("plain_404", "hub_missing", "check the spelling"),
        ("bad_token", "hub_bad_token", "correct HF_TOKEN"),
        ("gated", "hub_gated", "ask for access"),
        ("gated_anonymous", "hub_gated", "HF_TOKEN"),
        ("forbidden", "hub_error", "status 403"),
        ("empty", "hub_no_config", "choose the repository of the original model"),
        ("no_branch", "hub_no_revision", "leave the revision out"),
        ("broken", "hub_error", "status 500: try again"),
        ("busy", "hub_error", "status 429: try again"),
        ("nowhere", "hub_error", "status 302"),
        ("page", "hub_malformed", "line 1, column 1"),
        ("list", "hub_malformed", "not a list"),
        ("latin", "hub_malformed", "line 1, column 17: not UTF-8"),
        ("squeezed", "hub_malformed", "not UTF-8"),
        ("large", "hub_malformed", "more than 4,000,000 bytes"),
        ("endless", "hub_malformed", "more than 4,000,000 bytes"),
        ("cut_off", "hub_offline", "check the network"),
        ("to_disk", "hub_offline", "file://"),
    ],
)
def test_what_the_hub_refuses_is_our_own_error_after_one_request(hub, name, code, advice):
    error = refusal(f"owner/{name}")
    assert error.code == code
    assert advice.lower() in str(error).lower()
    assert error.details["repo_id"] == f"owner/{name}"
    assert len(hub.asked) == 1


def test_a_circle_of_redirects_ends(hub):
    assert refusal("owner/circle").details["status"] == 307
    assert len(hub.asked) == 6


@pytest.mark.parametrize("name", ["hang", "drip", "drip_headers"])
def test_the_limit_holds_for_the_whole_answer_not_for_each_byte(hub, name):
    fetch_config("owner/good")  # what is loaded once does not count
    begun = time.monotonic()
    error = refusal(f"owner/{name}", timeout=LIMIT)
    assert time.monotonic() - begun < LIMIT + 2
    assert error.code == "hub_timeout"
    assert f"within {LIMIT} s: try again" in str(error)


def test_nobody_listens(hub, monkeypatch):
    closed = Server()
    closed.stop()
    monkeypatch.setenv("HF_ENDPOINT", closed.url)
    error = refusal("owner/good")
    assert error.code == "hub_offline"
    assert "refused" in str(error)
    assert "paste the config.json" in str(error)


@pytest.mark.parametrize("endpoint", ["127.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1:port", "http://[", "http://"])
def test_an_endpoint_that_is_none(hub, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert refusal("owner/good").code == "hub_offline"


def test_a_password_in_the_endpoint_is_not_shown(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("//", "//me:secret@"))
    assert fetch_config("owner/good") == GPT2
    error = refusal("owner/broken")
    assert error.details["endpoint"] == hub.url
    assert "secret" not in str(error)


def test_offline_mode_is_respected(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    error = refusal("owner/good")
    assert error.code == "hub_offline"
    assert "HF_HUB_OFFLINE" in str(error)
    assert hub.asked == []


@pytest.mark.parametrize("token", ["hf_a b\nc", "hf_é"])
def test_a_token_that_no_header_can_carry(hub, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    assert refusal("owner/good").code == "hub_bad_token"
    assert hub.asked == []


def test_a_fresh_process_leaves_its_home_empty(tmp_path, hub):
    homes = {name: str(tmp_path) for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "TMPDIR")}
    code = "from llmcalc.hub import fetch_config; print(fetch_config('owner/good'))"
    environment = os.environ | homes | {"PYTHONDONTWRITEBYTECODE": "1"}
    WATCHING.clear()  # subprocess itself opens files
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=30)
    assert list(tmp_path.iterdir()) == []
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("gpt2", ("gpt2", None)),
        ("  openai-community/gpt2\n", ("openai-community/gpt2", None)),
        ("owner/name@v1", ("owner/name", "v1")),
        ("owner/name@refs/pr/1", ("owner/name", "refs/pr/1")),
        ("https://huggingface.co/owner/name", ("owner/name", None)),
        ("https://huggingface.co/owner/name/", ("owner/name", None)),
        ("http://www.huggingface.co/owner/name?library=transformers#usage", ("owner/name", None)),
        ("huggingface.co/owner/name/tree/main", ("owner/name", "main")),
        ("hf.co/owner/name/blob/main/config.json", ("owner/name", "main")),
        ("https://huggingface.co/owner/name/resolve/refs/pr/1/config.json", ("owner/name", "refs/pr/1")),
        ("https://huggingface.co/owner/name/tree/feature%2Fx", ("owner/name", "feature/x")),
        ("https://huggingface.co/gpt2/tree/main", ("gpt2", "main")),
        ("https://huggingface.co/models/owner/name", ("owner/name", None)),
        ("http://127.0.0.1:8080/hub/owner/name", ("owner/name", None)),
        ("hf://owner/name@v1", ("owner/name", "v1")),
    ],
)
def test_names_and_pasted_addresses(given, expected):
    assert repo_and_revision(given, "http://127.0.0.1:8080/hub") == expected


@pytest.mark.parametrize(
    "given",
    [
        *("", "/", "@", "owner/", "owner/na me", "owner/name/more", "../../etc/passwd", "owner/..", "owner/name.git"),
        *("owner/name@", "owner/name@a b", "owner/name@../x", "owner/né", "-owner/name", "owner/name\x00", "x" * 5000),
        *("https://example.invalid/owner/name", "https://huggingface.co", "https://huggingface.co/datasets/owner/name"),
        *("datasets/squad", "https://huggingface.co/owner/name/discussions/1", "https://huggingface.co@127.0.0.1/a/b"),
        *("http://127.0.0.1/owner/name", "http://[/a/b", "\ud800/a"),
    ],
)
def test_what_is_no_name_is_refused_before_anything_is_sent(hub, given):
    error = refusal(given)
    assert error.code == "hub_bad_id"
    assert "write owner/name" in str(error)
    assert len(str(error)) < 600
    assert hub.asked == []


def test_a_revision_that_git_cannot_have_is_refused(hub):
    assert refusal("owner/good", revision="../../x").code == "hub_bad_id"
    assert hub.asked == []


@given(st.text(max_size=60) | st.from_regex(r"(https://huggingface\.co/)?[\w./@%-]{1,40}"))
def test_any_text_is_a_name_or_refused(text):
    with suppress(InputError):
        repo_id, revision = repo_and_revision(text)
        assert repo_and_revision(repo_id) == (repo_id, None)
        assert revision is None or ".." not in revision
