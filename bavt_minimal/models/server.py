"""A model behind a server that speaks the OpenAI protocol: vLLM, llama.cpp, `transformers serve`, a hosted one.

The standard library does the talking: http.client tells a connection that was never made from an answer that never
came, which is all the difference to the ledger, and it follows no redirect, so the key goes to the server that was
named and to no other. Proxies set in the environment are not used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from time import sleep
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from ..checks import check_count, check_range
from ..steps import Sample, clean
from .request import check_sampling, check_text, check_texts

Answer = dict[str, Any]
LOG = logging.getLogger(__name__)  # without a handler Python prints a warning's bare text on stderr
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
TOKENIZERS = ("/tokenize", "/extras/tokenize/count")  # of vLLM and llama.cpp; of llama-cpp-python
# Temperature and top-k and nothing else, whatever the server's defaults. Servers differ in the last one's name.
PLAIN = {"top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "repetition_penalty": 1.0}
OPTIONAL = (*PLAIN, "top_k", "seed", "logprobs")  # left out once a server has objected
# Status -> whether tokens may have been generated. A model's server that reports a failure gives no completion;
# a gateway that does (502, 504) does not know what went on behind it.
RETRIED = {429: False, 500: False, 502: True, 503: False, 504: True}
LONGEST_PAUSE, LONGEST_WAIT = 30.0, 120.0  # seconds: of our own between two tries, and when the server asks for it
MOST_BYTES = 1 << 24  # of an answer
ALTERNATIVES = 20  # next tokens seen by `score`, the most that vLLM gives unless told otherwise
INSTEAD = 'critics that work with any server: "constant", and "logprob" where it gives log-probabilities'


class ServerError(RuntimeError):
    """A server was out of reach, refused a request or answered nonsense. The message says which, never the key."""


class _Refused(ServerError):
    """A definite answer that is not the one wanted: the same request would get it again."""

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status, self.said = status, said


class _Again(Exception):
    """A try that may be repeated, after `wait` seconds if the server said so. `lost`: it may have made tokens."""

    def __init__(self, message: str, lost: bool, wait: float | None = None) -> None:
        super().__init__(message)
        self.lost, self.wait = lost, wait


class ServerModel:
    """The verbs of `LanguageModel` against an OpenAI-compatible server. Hidden states (`encode`) it cannot have.

    `url`: `http://host:port`, with or without "/v1"; "#NAME" at its end stands for `model`. `model`: the server's name
    for it; None: the only one that it lists. `api_key`: None takes BAVT_API_KEY from the environment. `timeout`:
    seconds that the server may be silent. `retries`: further tries after one that failed in passing (no connection, no
    answer, status 429, 500, 502, 503, 504), the first after about `backoff` seconds, each later one after twice as
    long, up to 30; Retry-After is honored up to 120. All other trouble raises `ServerError` at once.

    What the ledger can know:

    - A try that generated nothing (no connection, 429, 500, 503) costs nothing.
    - A try that the server may have worked on (no answer in time, a broken connection, 502, 504) is *lost*. It is
      charged all that it was allowed, in `Sample.tokens` of the sample that it was for, and repeated with what is left
      of the call's k x `max_new_tokens`. A sample for which nothing is left comes back unfinished, without text. So a
      call never costs more than was reserved for it, not even by tokens that nobody saw.
      `lost_tries` and `lost_tokens` (the most that they can have made) count them.
    - When the tries are used up the call raises `ServerError`, and its reservation is charged in full.
    - In no ledger: the one token of `gives_logprobs`, and of each lost try of `score`. A prompt is in it once, however
      many samples are drawn from it; `prompt_tokens` adds up what the server says that it has read.

    A server without /v1/completions gets each prompt as one user message, through its chat template. `notes` says what
    else the server lacks; each is logged once, as a warning. Not for use by two threads at once.
    """

    url: str
    retries: int
    backoff: float
    prompt_tokens: int
    lost_tries: int
    lost_tokens: int

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        backoff: float = 2.0,
    ) -> None:
        self.url, named = _check_url(url)
        self.timeout: float = check_range("timeout", timeout, 1e-3, 1e6)
        self.retries, self.backoff = check_count("retries", retries), check_range("backoff", backoff, 0.0, 1e6)
        self._key = os.environ.get("BAVT_API_KEY", "") if api_key is None else api_key
        if not isinstance(self._key, str) or not re.fullmatch("[!-~]*", self._key):
            raise ValueError("api_key (or BAVT_API_KEY) must be printable ASCII without blanks")  # not shown: a secret
        self.notes: list[str] = []
        self.chat: bool = False  # whether prompts go as chat messages
        self.lost_tries = self.lost_tokens = 0
        self.prompt_tokens = 0
        self._works = False  # whether a completion ever came
        self._logprobs: bool | None = None  # whether it had log-probabilities
        self._refused: set[str] = set()
        self._tokenizers = list(TOKENIZERS)
        self.model: str = check_text("model", model or named or self._only_model())
        self.name: str = self.model or "server"

    def __repr__(self) -> str:
        return f"ServerModel({self.name!r})"  # goes into traces: no key, and no address, which may change

    # The verbs

    def sample(
        self,
        prompt: str,
        k: int,
        *,
        first: int = 0,
        seed: int = 0,
        max_new_tokens: int = 8,
        temperature: float = 0.8,
        top_k: int = 40,
        stop: Sequence[str] = ("\n",),
        layers: Sequence[int] = (),
    ) -> list[Sample]:
        """Draw continuations number `first` .. `first + k - 1` of `prompt`, one request each, in this order.

        Sample j is asked for with a seed made from (seed, prompt, j): the same again is the same only as far as the
        server keeps to seeds. `transformers serve` heeds the temperature only for a model whose generation_config.json
        has do_sample: true, and is greedy otherwise. Text is cut at the first stop. `tokens` are the server's count
        (`usage`), or without one all that were allowed, and those of lost tries. `logprobs` are the server's own, () if
        it gives none, and may be fewer than `tokens` (some leave out the stop): `LogProbCritic` takes the mean of those
        that are there, and gives its lowest residual if none are. Raises ServerError, and
        ValueError or TypeError for a request that makes no sense.
        """
        check_sampling(prompt, k, first, seed, max_new_tokens, temperature, top_k, stop)
        if layers:
            _no_states()
        if max_new_tokens == 0:
            return [Sample("", 0, (), False) for _ in range(k)]
        body: Answer = {"max_tokens": max_new_tokens, "temperature": float(temperature), "top_k": top_k, "logprobs": 1}
        body |= {"stop": list(stop)[:4]} if stop else {}  # OpenAI takes four; the others are found below
        limit = self.lost_tokens + k * max_new_tokens  # what `lost_tokens` may come to, and sinks by what is used
        samples = []
        for number in range(first, first + k):
            lost = self.lost_tokens
            answer, most = self._complete(prompt, body | {"seed": request_seed(seed, prompt, number)}, limit)
            sample = Sample("", 0, (), False) if answer is None else self._read(answer, most, stop)
            limit -= sample.tokens
            samples.append(replace(sample, tokens=sample.tokens + self.lost_tokens - lost))
        return samples

    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        """Log-probability of continuations of one token, such as the replies that prompted critics look for.

        The server generates one token, which these critics charge for, and shows the 20 likeliest in its place; a
        continuation that is none of them gets the least of theirs, which is the most that it can have. Prompts are not
        scored by echo: with `max_tokens=0` some servers generate without end, others refuse.
        Raises NotImplementedError if the server shows no alternatives; ServerError as `sample`.
        """
        check_text("prompt", prompt)
        texts = check_texts("continuations", continuations)
        if not any(texts):
            return [() for _ in texts]
        body = {"max_tokens": 1, "temperature": 1.0, "logprobs": ALTERNATIVES}
        found: dict[str, float] = {}
        if not self.chat and "logprobs" not in self._refused:
            try:
                answer = self._complete(prompt, body)[0] or {}
                found = _alternatives(self._choice(answer)["logprobs"])
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, _Refused):
                pass
        if not found or self.chat:
            raise NotImplementedError(
                f"{self.url} does not show how likely other tokens were (logprobs={ALTERNATIVES} of {COMPLETIONS}),"
                f" which score and prompted critics need; {INSTEAD}"
            )
        if not found.keys() & set(texts):
            self._note(f"none of {texts!r} is among the {len(found)} likeliest next tokens: they are scored alike")
        return [(found.get(text, min(found.values())),) if text else () for text in texts]

    def encode(self, texts: Sequence[str], layers: Sequence[int]) -> list[dict[int, Any]]:
        """Raise NotImplementedError: a server gives no hidden states."""
        _no_states()

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`: exact where the server has a tokenizer to ask, else the most there can be.

        Ask vLLM, llama.cpp and llama-cpp-python; their start token is included or not as they see fit. Otherwise it is
        the bytes of UTF-8 and a start token: for a tokenizer that works on bytes, as nearly all do, each token has at
        least one. That is three to five times too many for English, and what a chat template adds is not in it.
        """
        check_text("text", text)
        body = {"prompt": text, "content": text, "input": text}  # each server reads its own name for it
        while self._tokenizers:
            try:
                answer = self._send("POST", self._tokenizers[0], body)[0] or {}
                count = answer.get("count", len(answer.get("tokens") or ()))
                if type(count) is int and (count > 0 or not text):
                    return count
            except _Refused:
                pass
            del self._tokenizers[0]
        return len(text.encode()) + 1

    def gives_logprobs(self) -> bool:
        """Whether samples come with log-probabilities. If there has been none yet, one token is drawn to see."""
        if self._logprobs is None:
            answer, most = self._complete("Answer:", {"max_tokens": 1, "logprobs": 1, "top_k": 40, "seed": 0})
            self._read(answer or {}, most, ())
        return bool(self._logprobs)

    # Completions

    def _complete(self, prompt: str, body: Answer, limit: int | None = None) -> tuple[Answer | None, int]:
        """As `_send`; learns whether to chat, and which fields the server does not take."""
        while True:
            request: Answer = {**PLAIN, **body}
            request = {name: request[name] for name in request if name not in self._refused}
            if self.chat:
                request["messages"] = [{"role": "user", "content": prompt}]
                request |= {"logprobs": True} if "logprobs" in request else {}
            else:
                request["prompt"] = prompt
            try:
                answer = self._send("POST", CHAT if self.chat else COMPLETIONS, request, limit)
            except _Refused as error:
                objects = {name for name in OPTIONAL if name in request and re.search(rf"\b{name}\b", error.said)}
                objects -= {"logprobs"} if body.get("logprobs") == ALTERNATIVES else set()  # too many, perhaps
                unknown = self.model and self.model in error.said
                if error.status in (404, 405, 501) and not (self.chat or self._works or unknown):
                    self.chat = True
                    self._note(f"no {COMPLETIONS}: each prompt goes as one user message, through a chat template")
                elif objects and error.status != 200:
                    self._refused |= objects
                    self._note(f"does not take {', '.join(sorted(objects))}: its own defaults apply")
                else:
                    raise
            else:
                self._works = True
                return answer

    def _choice(self, answer: Answer) -> Answer:
        """The completion in an answer. Raises ServerError if there is none."""
        try:
            choice = answer["choices"][0]
            text = choice["message"].get("content") if self.chat else choice["text"]
            return {**choice, "text": check_text("text", text or "")}
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ServerError(f"{self.url} answered without a completion in it ({error!r:.100})") from None

    def _read(self, answer: Answer, most: int, stop: Sequence[str]) -> Sample:
        """A sample from an answer to a request for at most `most` tokens."""
        choice, usage = self._choice(answer), answer.get("usage") or {}
        try:
            logprobs = _logprobs(choice.get("logprobs") or {})
            tokens = check_count("completion_tokens", usage.get("completion_tokens", most))
            self.prompt_tokens += check_count("prompt_tokens", usage.get("prompt_tokens", 0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServerError(f"{self.url} answered with usage or logprobs that make no sense: {error}") from None
        tokens = max(tokens, len(logprobs))  # what was shown was generated
        text = choice["text"]
        if tokens > most or (text.strip() and not tokens):
            raise ServerError(f"{self.url} was asked for at most {most} tokens and counts {tokens} for {text!r:.100}")
        if "completion_tokens" not in usage:
            self._note("does not count tokens (usage): each sample is charged all that it was allowed")
        if not logprobs:
            self._note('gives no log-probabilities: critic "logprob" cannot tell its steps apart; use "constant"')
        self._logprobs = bool(logprobs)
        places = [text.find(mark) for mark in stop if mark in text]
        text = text[: min(places)] if places else text
        reason = choice.get("finish_reason")
        finished = bool(places) or reason == "stop" or (reason is None and tokens < most)
        return Sample(text.rstrip("\ufffd").strip(), tokens, logprobs, finished)

    # The wire

    def _only_model(self) -> str:
        """The only model that the server lists; "" if it lists none, and then requests name none."""
        try:
            listed = (self._send("GET", "/v1/models")[0] or {}).get("data") or []
            names = [str(each["id"]) for each in listed]
        except ServerError as error:
            if isinstance(error, _Refused) and error.status in (404, 405):
                return ""
            raise ServerError(f"{error}; with a name, as model or {self.url}#NAME, it need not be asked") from None
        except (KeyError, TypeError, AttributeError):
            raise ServerError(f"{self.url} answered /v1/models with no list of models: is the url right?") from None
        if len(names) > 1:
            some = clean(", ".join(names), 300)
            raise ValueError(f"{self.url} has {len(names)} models: give one as model, or as {self.url}#NAME: {some}")
        return names[0] if names else ""

    def _send(
        self, method: str, path: str, body: Answer | None = None, limit: int | None = None
    ) -> tuple[Answer | None, int]:
        """The answer, and how many tokens it was allowed; tries again what may be tried again.

        `limit`: what `lost_tokens` may come to. If not one token is left below it there is no answer.
        Raises _Refused, or ServerError when the tries are used up.
        """
        number = 0
        while True:
            most = int((body or {}).get("max_tokens", 0))
            if limit is not None and (most := min(most, limit - self.lost_tokens)) < 1:
                return None, 0
            try:
                return self._try(method, path, body if limit is None else {**(body or {}), "max_tokens": most}), most
            except _Again as error:
                failed = error
            self.lost_tries += failed.lost and most > 0
            self.lost_tokens += failed.lost * most
            said = f"{self.url}{path}: {failed}"
            if limit is not None and limit <= self.lost_tokens:
                LOG.warning("%s; charged %d tokens, none are left to try again with", said, most)
                return None, 0
            if number == self.retries:
                raise ServerError(f"{said}; gave up after {number + 1} {'try' if number == 0 else 'tries'}")
            pause = min(LONGEST_PAUSE, self.backoff * 2**number) * random.SystemRandom().uniform(0.5, 1.0)
            if (pause := pause if failed.wait is None else failed.wait) > LONGEST_WAIT:
                raise ServerError(f"{said}; it asks to wait {pause:.0f} s: try again then")
            number += 1
            LOG.warning("%s; try %d of %d in %.1f s", said, number + 1, self.retries + 1, pause)
            sleep(pause)

    def _try(self, method: str, path: str, body: Answer | None) -> Answer:
        """One request and its answer. Raises _Again, _Refused or ServerError."""
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        link = kind(parts.hostname or "", parts.port, timeout=self.timeout)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        if body is not None and self.model:
            body = {"model": self.model, **body}
        try:
            try:
                link.connect()
            except (ssl.SSLError, socket.gaierror, UnicodeError) as error:  # another try would fail as well
                raise ServerError(f"cannot connect to {self.url}: {_reason(error)}") from None
            except OSError as error:
                raise _Again(f"no connection ({_reason(error)})", lost=False) from None
            try:
                link.request(method, parts.path + path, None if body is None else json.dumps(body), headers)
                answer = link.getresponse()
                content = answer.read(MOST_BYTES)
                if answer.length and len(content) < MOST_BYTES:  # with a limit, `read` says nothing of it
                    raise IncompleteRead(content)
            except (OSError, HTTPException) as error:
                raise _Again(f"no answer ({_reason(error)})", lost=True) from None
        finally:
            link.close()
        return self._judge(answer, path, content.decode(errors="replace"))

    def _judge(self, answer: HTTPResponse, path: str, content: str) -> Answer:
        """The JSON object in an answer; anything else raises _Again or _Refused."""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if answer.status == 200 and isinstance(found, dict):
            return found
        message: Any = found if isinstance(found, dict) else {}
        message = message.get("error") or message.get("detail") or message.get("message") or content
        message = message.get("message", message) if isinstance(message, dict) else message
        said = str(message).replace(self._key, "***") if self._key else str(message)
        if answer.status == 200:
            words = f"no JSON object but {clean(said, 80)!r}: is it an OpenAI-compatible server?"
            raise _Refused(f"{self.url}{path} answered {words}", 200, said)
        words = f"status {answer.status}, {clean(said, 300)!r}"
        # Some servers answer 500 to a field that they cannot serve: it is left out rather than tried again.
        if answer.status not in RETRIED or (answer.status == 500 and re.search(r"\blogprobs\b", said)):
            raise _Refused(f"{self.url}{path}: {words}", answer.status, said)
        raise _Again(words, RETRIED[answer.status], _retry_after(answer.headers.get("Retry-After")))

    def _note(self, words: str) -> None:
        words = f"{self.url} {words}"
        if words not in self.notes:
            self.notes.append(words)
            LOG.warning("%s", words)


def is_url(source: object) -> bool:
    """Whether a model's source is a server's address and not a folder or a hub id."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def request_seed(seed: int, prompt: str, number: int) -> int:
    """The seed that sample `number` is asked for with, below 2^31, which every server takes."""
    words = hashlib.blake2b(f"{seed}\0{number}\0{prompt}".encode(), digest_size=4).digest()
    return int.from_bytes(words, "big") >> 1


def _check_url(url: str) -> tuple[str, str]:
    """The address up to and without "/v1", and the name after "#". Raises ValueError."""
    text = check_text("url", url).strip()
    if "@" in text.partition("#")[0]:  # not shown: it may be a password
        raise ValueError("url must not hold a user or a password: give a key as api_key, or in BAVT_API_KEY")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not is_url(text) or not host or parts.query or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError(f"url must be like http://localhost:8000/v1, got {text!r:.200}")
    place = f"[{host}]" if ":" in host else host
    path = quote(parts.path, safe="/%:~").rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{place}{f':{port}' if port else ''}{path}", parts.fragment


def _logprobs(found: Answer) -> tuple[float, ...]:
    """Log-probabilities in either of the protocol's two forms, that of completions or that of chat."""
    values = found.get("token_logprobs") or [each["logprob"] for each in found.get("content") or ()]
    return tuple(-math.inf if value is None else float(value) for value in values)


def _alternatives(found: Answer) -> dict[str, float]:
    """The likeliest first tokens and their log-probabilities, in either form."""
    if "top_logprobs" in found:
        return {token: float(value) for token, value in found["top_logprobs"][0].items()}
    return {each["token"]: float(each["logprob"]) for each in found["content"][0]["top_logprobs"]}


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, from a header that holds seconds or a date; None if it holds neither."""
    try:
        wait = float(text or "")
    except ValueError:
        try:
            wait = parsedate_to_datetime(text or "").timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, wait) if math.isfinite(wait) else None


def _reason(error: Exception) -> str:
    """An exception in few words."""
    return clean(getattr(error, "strerror", None) or str(error) or type(error).__name__, 200)


def _no_states() -> NoReturn:
    raise NotImplementedError(f"a server gives no hidden states, which heads and mixes read; {INSTEAD}")
