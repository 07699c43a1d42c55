"""The ``config.json`` of a model on the Hugging Face Hub: that one file, in bounded time, kept nowhere.

Of huggingface_hub only what makes the address, checks the name and sends the request is used. Its downloads write a
cache and try again on their own, and its `build_hf_headers` asks the Hub for a list and writes that to disk.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from llmcalc.errors import InputError
from llmcalc.huggingface.text import MAX_BYTES, parse_config

if TYPE_CHECKING:
    from huggingface_hub.utils import httpx

ENDPOINT = "https://huggingface.co"
MAX_REDIRECTS = 5
PROBLEMS: Mapping[str, str] = {
    "hub_bad_id": "{given!r} is not the name of a model on the Hub: write owner/name, owner/name@revision, or paste "
    "the address of its page",
    "hub_offline": "no connection to {endpoint}: {reason}. Check the network, or paste the config.json instead",
    "hub_timeout": "{endpoint} did not answer within {timeout:g} s: try again, or paste the config.json instead",
    "hub_missing": "{repo_id} is not on the Hub, or it is private: check the spelling of owner/name, or paste the "
    "config.json instead",
    "hub_no_revision": "{repo_id} has no branch, tag or commit {revision!r}: leave the revision out, or correct it",
    "hub_gated": "{repo_id} is gated, its owner decides who reads it: ask for access on its page and paste the "
    "config.json, or start this tool with HF_TOKEN set to a token that has access",
    "hub_bad_token": "the Hub refuses the token that this tool was started with: correct HF_TOKEN, or unset it",
    "hub_no_config": "{repo_id} has no config.json at its root: choose the repository of the original model, not one "
    "of adapters or quantized files only",
    "hub_malformed": "what {endpoint} sent as the config.json of {repo_id} cannot be read: {reason}. Open the file on "
    "its page, or paste a corrected one",
    "hub_error": "{endpoint} answered with status {status}: try again in a few minutes, or paste the config.json",
}
# What the Hub says in the header X-Error-Code, more exactly than by the status: 401 is missing, private or gated.
_ERROR_CODES: Mapping[str, str] = {
    "RepoNotFound": "hub_missing",
    "RevisionNotFound": "hub_no_revision",
    "EntryNotFound": "hub_no_config",
    "GatedRepo": "hub_gated",
}
_NAME = re.compile(
    r"(?P<repo_id>[^/@]+(?:/(?!(?:tree|blob|resolve|raw|blame|commit)/)[^/@]+)?)"
    r"(?:@(?P<at>.+)|/(?:tree|blob|resolve|raw|blame|commit)/(?P<shown>refs/(?:pr|convert)/[^/]+|[^/]+)(?:/.*)?)?"
)
_NOT_OWNERS = ("api", "blog", "buckets", "collections", "datasets", "docs", "kernels", "models", "papers", "spaces")


def fetch_config(repo_id: str, revision: str | None = None, timeout: float = 10) -> dict[str, Any]:
    """The ``config.json`` of a model repository on the Hub, at its main branch or at ``revision``.

    ``repo_id`` is a name ("openai-community/gpt2"), a name and a revision ("owner/name@v1"; ``revision`` goes first)
    or the address of its page. At most ``timeout`` seconds and 1 MB; one try; nothing is written to disk. The
    environment's HF_ENDPOINT says which Hub, HF_TOKEN who asks: whoever may call this can then read every config
    that the token can. A token saved by ``hf auth login`` is not used.

    Raises InputError for ``hub_id`` with a code of `PROBLEMS`; its details are the names in the braces there.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import httpx

    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    repo_id, found = repo_and_revision(repo_id, endpoint)
    revision = _checked_revision(revision or found)
    # A password in HF_ENDPOINT is not for the reader.
    about = {"repo_id": repo_id, "revision": revision, "endpoint": re.sub("//[^/]*@", "//", endpoint)}
    url = hf_hub_url(repo_id, "config.json", revision=revision, endpoint=endpoint)
    answer: Future[bytes] = Future()
    # In a thread, as looking up a host and a Hub that sends its headers byte by byte heed no other limit; a daemon, as
    # nobody waits for it.
    Thread(target=_answer, args=(answer, url, _headers(), timeout, about), daemon=True).start()
    try:
        body = answer.result(timeout)
    except InputError:
        raise
    except (TimeoutError, httpx.TimeoutException):
        raise _problem("hub_timeout", timeout=timeout, **about) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ImportError, ValueError) as error:
        # ImportError and ValueError: a proxy in the environment that httpx cannot use
        reason = str(error)[:200] or type(error).__name__
        raise _problem("hub_offline", reason=reason, **about) from error
    try:
        return parse_config(body)
    except InputError as error:
        raise _problem("hub_malformed", reason=error, **about) from error


def repo_and_revision(given: str, endpoint: str = ENDPOINT) -> tuple[str, str | None]:
    """The name and the revision in what a reader typed or pasted.

    >>> repo_and_revision("https://huggingface.co/openai-community/gpt2/blob/v1/config.json")
    ('openai-community/gpt2', 'v1')
    >>> repo_and_revision("gpt2")
    ('gpt2', None)

    Raises InputError with the code hub_bad_id.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    text = given.strip()
    hosts = "|".join(re.escape(host) for host in (endpoint.partition("://")[2], "huggingface.co", "hf.co") if host)
    address = re.match(rf"(?:hf://|(?:https?://)?(?:www\.)?(?:{hosts})/)(?:models/)?", text, re.IGNORECASE)
    if address:
        text = re.split("[?#]", text[address.end() :])[0].rstrip("/")
    match = _NAME.fullmatch(text) if len(text) <= 500 else None
    if match is None or match["repo_id"].split("/")[0].lower() in _NOT_OWNERS:
        raise _problem("hub_bad_id", given=given[:100])
    try:
        validate_repo_id(match["repo_id"])
    except HFValidationError:
        raise _problem("hub_bad_id", given=given[:100]) from None
    revision = match["at"] or match["shown"]
    return match["repo_id"], _checked_revision(unquote(revision)) if revision else None


def _checked_revision(revision: str | None) -> str:
    if revision is None:
        return "main"
    if not re.fullmatch(r"[\w./+@=-]{1,250}", revision) or ".." in revision:
        raise _problem("hub_bad_id", given=revision[:100])
    return revision


def _headers() -> dict[str, str]:
    # Compressed, a small answer could unfold to any size.
    headers = {"user-agent": "llmcalc", "accept-encoding": "identity"}
    token = os.environ.get("HF_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable()):
        raise _problem("hub_bad_token")
    return {**headers, "authorization": f"Bearer {token}"} if token else headers


def _answer(answer: Future[bytes], *request: Any) -> None:
    try:
        answer.set_result(_download(*request))
    except Exception as error:
        answer.set_exception(error)


def _download(url: str, headers: Mapping[str, str], timeout: float, about: Mapping[str, str]) -> bytes:
    """The body at ``url``, at most MAX_BYTES of it. Redirects are followed; their bodies are never read."""
    from huggingface_hub.utils import get_session

    deadline = time.monotonic() + timeout
    session = get_session()
    request: httpx.Request | None = session.build_request("GET", url, headers=dict(headers), timeout=timeout)
    for _ in range(MAX_REDIRECTS + 1):
        assert request is not None
        response = session.send(request, stream=True, follow_redirects=False)
        try:
            request = response.next_request  # without the token where it leads to another host
            if request is None:
                _check_status(response, about)
                return _body(response, deadline, about)
        finally:
            response.close()
    raise _problem("hub_error", status=response.status_code, **about)


def _check_status(response: httpx.Response, about: Mapping[str, str]) -> None:
    status = response.status_code
    if status == 200:
        return
    code = _ERROR_CODES.get(response.headers.get("X-Error-Code", ""))
    if code is None and response.headers.get("X-Error-Message", "").startswith("Invalid credentials"):
        code = "hub_bad_token"
    raise _problem(code or ("hub_missing" if status in (401, 404) else "hub_error"), status=status, **about)


def _body(response: httpx.Response, deadline: float, about: Mapping[str, str]) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise _problem("hub_malformed", reason=f"more than {MAX_BYTES:,} bytes", **about)
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _problem(code: str, **details: Any) -> InputError:
    return InputError("hub_id", PROBLEMS[code].format(**details), code=code, **details)
