"""A model behind a server: a real HTTP server in this process that speaks the protocol and fails on request."""

from __future__ import annotations

import json
import logging
import math
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bavt_minimal import (
    PLAN_EXAMPLES,
    Budget,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    ParallelChains,
    Planner,
    PromptedCritic,
    Trace,
)
from bavt_minimal.cli.main import main
from bavt_minimal.models import load_model
from bavt_minimal.models import server as module
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.models.server import ServerError, ServerModel, is_url, request_seed
from bavt_minimal.steps import Sample

PLAN = ["Where was Ada born?", "Who is the mayor of #1?"]
PAGES = {"Where was Ada born?": "Ada was born in Lund.", "Lund": "The mayor of Lund is Ole Berg."}
TABLE = {
    "Where was Ada born?\nAnswer:": {
        " Lund": 3,
        " Graz am See": 2,
        " ": 1,
        " a long name of many words that is cut": 1,
    },
    "mayor of Lund?\nAnswer:": {" Ole Berg": 2, " Eva": 1, " Ann of Lund": 1},
    "Answer:": {" nobody": 1, " Bo": 1},
    "Plan:": {"\n1. Where was Ada born?\n2. Who is the mayor of #1?\n2 lookups": 2, "\n1. Who?\n1 lookups": 1},
    "Reply:": {" yes": 3, " no": 1},
}
SCRIPT = ScriptedModel(TABLE)
PROMPT = "Where was Ada born?\nAnswer:"
BUDGET = Budget(60, 12)
OK = (200, {})


def tool(query: str) -> str:
    return PAGES.get(query, "Nothing.")


class Direct(ScriptedModel):
    """What the server does, in process: each sample has the seed that it is asked for with."""

    def sample(self, prompt: str, k: int, *, first: int = 0, seed: int = 0, **options: Any) -> list[Sample]:
        seeds = [request_seed(seed, prompt, number) for number in range(first, first + k)]
        return [super(Direct, self).sample(prompt, 1, seed=each, **options)[0] for each in seeds]


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        self.server.fake.get(self)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.fake.post(self, body)

    def answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):  # else a client that hung up
            self.fake.errors.append(error)  # type: ignore[attr-defined]


class Fake:
    """A server backed by SCRIPT. `faults` are taken one a completion: a status with headers, or a word."""

    def __init__(self) -> None:
        self.names, self.key, self.port = ["scripted"], "", 0
        self.paths = {"/v1/models", "/v1/completions", "/tokenize"}
        self.logprobs = self.usage = True
        self.refuses: set[str] = set()  # fields that it does not take
        self.change: Callable[[dict[str, Any]], Any] = lambda answer: answer
        self.faults: deque[Any] = deque()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.errors: list[BaseException | None] = []  # of this server itself
        self.made = 0  # tokens, whether they were delivered or not
        self.released = threading.Event()  # ends what hangs
        self.start()

    def start(self) -> None:
        self.http = Quiet(("127.0.0.1", self.port), Handler)
        self.http.fake = self  # type: ignore[attr-defined]
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, to: Handler) -> None:
        if to.path not in self.paths:
            return to.answer(404, b"<html>no such page</html>")
        to.answer(200, {"object": "list", "data": [{"id": name} for name in self.names]})

    def post(self, to: Handler, body: dict[str, Any]) -> None:
        self.headers.append(to.headers)
        if to.path not in self.paths:
            return to.answer(404, {"detail": "Not Found"})
        if self.key and to.headers["Authorization"] != f"Bearer {self.key}":
            said = f"Incorrect API key provided: {to.headers['Authorization']}"
            return to.answer(401, {"error": {"message": said, "code": 401}})
        if to.path == "/tokenize":
            return to.answer(200, {"count": SCRIPT.count_tokens(body["prompt"]), "tokens": []})
        self.bodies.append(body)
        if objects := self.refuses & set(body):
            return to.answer(422, {"detail": f"Unexpected fields in the request: {objects}"})
        fault = self.faults.popleft() if self.faults else OK
        if isinstance(fault, tuple) and fault[0] not in (200, 502, 504):
            return to.answer(fault[0], {"error": {"message": "busy"}}, fault[1])
        answer = self.complete(body, chat="chat" in to.path)
        if isinstance(fault, tuple) and fault[0] != 200:
            to.answer(*fault[:1], b"Bad Gateway", fault[1])
        elif fault == "hang":
            self.released.wait(5)
        elif fault == "reset":
            to.connection.close()
        elif fault == "cut":
            to.send_response(200)
            to.send_header("Content-Length", "1000")
            to.end_headers()
            to.wfile.write(b'{"choices": [')
        elif fault == "garbage":
            to.answer(200, b"<html>Welcome</html>")
        elif fault == "killed":
            threading.Thread(target=self.restart, daemon=True).start()
            time.sleep(0.05)  # the connection ends without an answer
        else:
            to.answer(200, self.change(answer))

    def restart(self) -> None:
        self.stop()
        time.sleep(0.3)
        self.start()

    def complete(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        prompt = body["messages"][0]["content"] if chat else body["prompt"]
        options = {"seed": body.get("seed", 0), "max_new_tokens": body["max_tokens"]}
        (sample,) = SCRIPT.sample(prompt, 1, temperature=body.get("temperature", 1.0), **options)
        self.made += sample.tokens
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if sample.finished else "length"}
        text = f" {sample.text}"
        if chat:
            choice["message"] = {"role": "assistant", "content": text}
            if self.logprobs and body.get("logprobs"):
                choice["logprobs"] = {"content": [{"token": "", "logprob": x} for x in sample.logprobs]}
        else:
            choice["text"] = text
            if self.logprobs and "logprobs" in body:
                scores = {word: math.log(chance) for word, chance in SCRIPT.probabilities(prompt).items()}
                choice["logprobs"] = {"token_logprobs": sample.logprobs, "top_logprobs": [scores]}
        usage = {"completion_tokens": sample.tokens, "prompt_tokens": SCRIPT.count_tokens(prompt)}
        return {"choices": [choice], **({"usage": usage} if self.usage else {})}


@pytest.fixture
def fake() -> Iterator[Fake]:
    it = Fake()
    yield it
    it.released.set()
    it.stop()
    assert not it.errors


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between tries, which then take no time."""
    found: list[float] = []
    monkeypatch.setattr(module, "sleep", found.append)
    return found


def search(model: Any, budget: Budget = BUDGET, plan: Sequence[str] | None = PLAN, **options: Any) -> Any:
    return BudgetAwareValueTreeSearch(model, None, budget, tool, **options).search("Who?", plan=plan)


# The same as in process


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("charge_prompt", [False, True])
def test_a_search_through_http_is_the_search_in_process(fake: Fake, seed: int, charge_prompt: bool) -> None:
    budget = Budget(600, 12) if charge_prompt else BUDGET
    there = search(ServerModel(fake.url), budget, seed=seed, charge_prompt=charge_prompt)
    here = search(Direct(TABLE), budget, seed=seed, charge_prompt=charge_prompt)
    assert there.trace.header == here.trace.header
    assert there.trace.events == here.trace.events and len(here.trace.events) > 10
    assert (there.answer, there.ledger.rows) == (here.answer, here.ledger.rows)
    assert there.ledger.by_role()["generator"]["tokens"] == fake.made


@pytest.mark.parametrize("critic", [PromptedCritic, lambda model: None])
def test_with_a_planner_and_a_prompted_critic(fake: Fake, critic: Any) -> None:
    runs = []
    for model in (ServerModel(fake.url), Direct(TABLE)):
        planner = Planner(model, examples=PLAN_EXAMPLES)
        runs.append(
            BudgetAwareValueTreeSearch(model, critic(model), Budget(120, 12), tool, planner=planner).search("Who?")
        )
    assert runs[0].trace.events[1:] == runs[1].trace.events[1:]  # the first names the models' classes
    assert runs[0].ledger.spent["tokens"] == fake.made > 0 and runs[0].plan


def test_chains(fake: Fake) -> None:
    runs = [
        ParallelChains(model, None, BUDGET, tool).search("Who?", plan=PLAN)
        for model in (ServerModel(fake.url), Direct(TABLE))
    ]
    assert runs[0].trace.events == runs[1].trace.events


def test_a_sample_is_its_seed_prompt_and_number(fake: Fake) -> None:
    model = ServerModel(fake.url)
    whole = model.sample(PROMPT, 6, seed=3)
    assert model.sample(PROMPT, 2, first=4, seed=3) == whole[4:]
    assert model.sample(PROMPT, 3, seed=4) != whole[:3]
    assert model.sample(PROMPT, 2, max_new_tokens=0) == [Sample("", 0, (), False)] * 2 and model.sample(PROMPT, 0) == []
    assert len(fake.bodies) == 11
    body = fake.bodies[0]
    assert body["model"] == "scripted" and body["top_k"] == 40 and body["top_p"] == 1.0 and body["stop"] == ["\n"]
    assert 0 <= body["seed"] < 2**31 and "n" not in body
    assert model.prompt_tokens == 11 * SCRIPT.count_tokens(PROMPT)


# What a server lacks


def test_chat_is_the_fallback_and_is_said(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.paths = {"/v1/models", "/v1/chat/completions"}
    model = ServerModel(fake.url)
    there, here = search(model), search(Direct(TABLE))
    assert (there.answer, there.ledger.spent) == (here.answer, here.ledger.spent)
    assert model.chat and sum("one user message" in note for note in model.notes) == 1
    assert "one user message" in caplog.text
    assert set(fake.bodies[0]) >= {"messages"} and fake.bodies[0]["logprobs"] is True and "prompt" not in fake.bodies[0]
    with pytest.raises(NotImplementedError, match="prompted critics"):
        model.score("Reply:", [" yes"])


def test_without_either_endpoint_there_is_an_error(fake: Fake) -> None:
    fake.paths = {"/v1/models"}
    with pytest.raises(ServerError, match="404.*Not Found"):
        ServerModel(fake.url).sample(PROMPT, 1)


def test_fields_that_a_server_does_not_take_are_left_out(fake: Fake) -> None:
    fake.refuses = {"top_k", "min_p", "repeat_penalty"}
    model = ServerModel(fake.url)
    assert model.sample(PROMPT, 3, seed=1) == Direct(TABLE).sample(PROMPT, 3, seed=1)
    assert len(fake.bodies) == 4 and "does not take min_p, repeat_penalty, top_k" in model.notes[0]
    fake.refuses = {"stop"}  # not one that can be left out
    with pytest.raises(ServerError, match="422.*stop"):
        model.sample(PROMPT, 1)


def test_without_logprobs(fake: Fake) -> None:
    fake.logprobs = False
    model = ServerModel(fake.url)
    assert not model.gives_logprobs() and len(fake.bodies) == 1
    assert [s.logprobs for s in model.sample(PROMPT, 2)] == [(), ()]
    assert sum("no log-probabilities" in note and "constant" in note for note in model.notes) == 1
    with pytest.raises(NotImplementedError, match="score and prompted critics need.*constant"):
        model.score("Reply:", [" yes", " no"])
    result = BudgetAwareValueTreeSearch(model, ConstantCritic(), BUDGET, tool).search("Who?", plan=PLAN)
    assert result.answer and result.ledger.spent["tokens"] <= 60
    fake.logprobs = True
    assert ServerModel(fake.url).gives_logprobs()


def test_logprobs_that_a_server_refuses_with_500(fake: Fake, pauses: list[float]) -> None:
    model = ServerModel(fake.url)
    fake.faults.append((500, {}))
    fake.complete, kept = (lambda body, chat: kept({**body, "logprobs": 1}, chat)), fake.complete  # type: ignore

    def refuse(to: Handler, body: dict[str, Any]) -> None:
        if "logprobs" in body:
            return to.answer(500, {"error": {"message": "logprobs is not supported with logits_all=False"}})
        return Fake.post(fake, to, body)

    fake.post = refuse  # type: ignore[method-assign]
    assert model.sample(PROMPT, 1)[0].text and len(pauses) == 1
    assert "does not take logprobs" in model.notes[0]


def test_score_is_of_one_token(fake: Fake) -> None:
    model = ServerModel(fake.url)
    assert model.score("Reply:", [" yes", " no", ""]) == Direct(TABLE).score("Reply:", [" yes", " no", ""])
    assert len(fake.bodies) == 1 and fake.bodies[0]["max_tokens"] == 1 and fake.made == 1
    yes, other = model.score("Reply:", [" yes", " maybe"])
    assert other == model.score("Reply:", [" no"])[0] < yes and not model.notes
    (one,), (two,) = model.score("Reply:", [" x", " y"])
    assert one == two and "scored alike" in model.notes[0]
    assert model.score("Reply:", []) == [] and model.score("Reply:", [""]) == [()]


def test_no_hidden_states(fake: Fake) -> None:
    model = ServerModel(fake.url)
    for call in (lambda: model.encode(["a"], [1]), lambda: model.sample(PROMPT, 1, layers=[1])):
        with pytest.raises(NotImplementedError, match=r"no hidden states.*constant.*logprob"):
            call()
    assert not fake.bodies


def test_tokens_are_counted_by_the_server_or_bounded_by_bytes(fake: Fake) -> None:
    assert ServerModel(fake.url).count_tokens("three small words") == 3
    fake.paths.remove("/tokenize")
    model = ServerModel(fake.url)
    assert model.count_tokens("Grüße") == 8 and model.count_tokens("") == 1
    before = len(fake.headers)
    assert model.count_tokens("again") == 6 and len(fake.headers) == before  # not asked for a second time


def test_a_server_without_usage_is_charged_all_that_it_was_allowed(fake: Fake) -> None:
    fake.usage = False
    model = ServerModel(fake.url)
    assert [s.tokens for s in model.sample(PROMPT, 3, max_new_tokens=7)] == [7, 7, 7]
    assert "does not count tokens" in model.notes[0]


# Nonsense


def nonsense(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    """Changes the first choice, or the usage, of an answer."""

    def change(answer: dict[str, Any]) -> dict[str, Any]:
        where = answer["usage"] if "completion_tokens" in changes else answer["choices"][0]
        where.update(changes)
        return answer

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nonsense(completion_tokens=9), "at most 8 tokens and counts 9"),
        (nonsense(completion_tokens=0), "completion"),
        (nonsense(completion_tokens=-1), "make no sense.*completion_tokens"),
        (nonsense(completion_tokens="3"), "make no sense.*completion_tokens"),
        (nonsense(completion_tokens=None), "make no sense.*completion_tokens"),
        (nonsense(logprobs={"token_logprobs": ["a"]}), "make no sense"),
        (nonsense(logprobs={"token_logprobs": [0.0] * 9}), "at most 8 tokens and counts 9"),
        (nonsense(text=3), "without a completion"),
        (lambda answer: {"choices": []}, "without a completion"),
        (lambda answer: {"error": "no"}, "without a completion"),
        (lambda answer: [answer], "no JSON object"),
        (lambda answer: {**answer, "usage": [1]}, "make no sense"),
    ],
)
def test_answers_that_make_no_sense(fake: Fake, change: Any, words: str) -> None:
    fake.change = change
    model = ServerModel(fake.url)
    if words == "completion":  # tokens that were shown count, whatever the usage says
        assert model.sample(PROMPT, 1)[0].tokens > 0
        fake.logprobs, words = False, "counts 0 for ' [A-Z]"
    with pytest.raises(ServerError, match=words):
        model.sample(PROMPT, 1)


def test_an_error_stops_the_search_and_is_charged_in_full(fake: Fake) -> None:
    fake.faults.extend([OK, "garbage"])
    run = BudgetAwareValueTreeSearch(ServerModel(fake.url), None, BUDGET, tool)
    with pytest.raises(ServerError, match="no JSON object but '<html>Welcome</html>'"):
        run.search("Who?", plan=PLAN)
    assert run.result.reason == "error" and run.result.ledger.spent["tokens"] == 24 >= fake.made
    again = BudgetAwareValueTreeSearch(ServerModel(fake.url), None, BUDGET, tool)
    assert again.search("Who?", plan=PLAN, resume=Trace(run.trace.header, run.trace.events)).answer
    assert fake.made <= again.result.ledger.spent["tokens"] <= 60


def test_text_is_cut_at_the_first_stop_and_tidied(fake: Fake) -> None:
    model = ServerModel(fake.url)
    fake.change = nonsense(text=" Lund \n\nQuestion: more", finish_reason="length")
    (sample,) = model.sample(PROMPT, 1, stop=("Q", "\n"))
    assert (sample.text, sample.finished) == ("Lund", True)
    fake.change = nonsense(text=" Lun\ufffd", finish_reason="length")
    assert [(s.text, s.finished) for s in model.sample(PROMPT, 1)] == [("Lun", False)]
    fake.change = nonsense(text=None, finish_reason="content_filter")
    assert [(s.text, s.finished) for s in model.sample(PROMPT, 1)] == [("", False)]
    fake.change = nonsense(logprobs={"token_logprobs": [None, -0.5]})
    assert model.sample(PROMPT, 1)[0].logprobs == (-float("inf"), -0.5)


# Tries


def test_429_and_retry_after(fake: Fake, pauses: list[float]) -> None:
    fake.faults.extend(
        [(429, {"Retry-After": "7"}), (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}), (429, {})]
    )
    model = ServerModel(fake.url)
    assert model.sample(PROMPT, 2) == Direct(TABLE).sample(PROMPT, 2)
    assert pauses[:2] == [7, 0] and 4 <= pauses[2] <= 8 and model.lost_tries == 0
    fake.faults.append((429, {"Retry-After": "3600"}))
    with pytest.raises(ServerError, match=r"429, 'busy'; it asks to wait 3600 s"):
        model.sample(PROMPT, 1)


def test_500_thrice_then_right(fake: Fake, pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    fake.faults.extend([(500, {})] * 3)
    model = ServerModel(fake.url)
    assert model.sample(PROMPT, 1) == Direct(TABLE).sample(PROMPT, 1)
    assert all(2**n <= pause <= 2 * 2**n for n, pause in enumerate(pauses)) and len(pauses) == 3
    assert model.lost_tokens == 0 and "status 500, 'busy'; try 2 of 5 in" in caplog.text


def test_tries_are_used_up(fake: Fake, pauses: list[float]) -> None:
    fake.faults.extend([(503, {})] * 9)
    with pytest.raises(ServerError, match="503.*gave up after 5 tries"):
        ServerModel(fake.url).sample(PROMPT, 1)
    with pytest.raises(ServerError, match="503.*gave up after 1 try"):
        ServerModel(fake.url, retries=0).sample(PROMPT, 1)
    assert len(fake.faults) == 3 and len(pauses) == 4


def test_pauses_are_capped(fake: Fake, pauses: list[float]) -> None:
    fake.faults.extend([(500, {})] * 9)
    ServerModel(fake.url, retries=9).sample(PROMPT, 1)
    assert max(pauses) <= 30 and pauses[-1] >= 15


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 501])
def test_other_statuses_are_errors_at_once(fake: Fake, pauses: list[float], status: int) -> None:
    model = ServerModel(fake.url)
    model.sample(PROMPT, 1)  # the endpoint is there
    fake.faults.append((status, {}))
    with pytest.raises(ServerError, match=f"/v1/completions: status {status}, 'busy'"):
        model.sample(PROMPT, 1)
    assert not pauses


@pytest.mark.parametrize("fault", ["hang", "reset", "cut", (502, {}), (504, {})])
def test_a_lost_try_is_charged_and_repeated_with_what_is_left(fake: Fake, pauses: list[float], fault: Any) -> None:
    model = ServerModel(fake.url, timeout=2.0 if fault == "hang" else 60.0)  # a busy machine is slow to answer too
    fake.faults.append(fault)
    found, wanted = model.sample(PROMPT, 3), Direct(TABLE).sample(PROMPT, 3)
    assert found[0].tokens == wanted[0].tokens + 8 and found[0].text == wanted[0].text
    assert [sample.text for sample in found[1:]] == [sample.text for sample in wanted[1:]]
    assert (model.lost_tries, model.lost_tokens, len(pauses)) == (1, 8, 1)
    assert fake.made <= sum(sample.tokens for sample in found) <= 24


def test_a_sample_for_which_nothing_is_left_is_unfinished(fake: Fake, pauses: list[float]) -> None:
    model = ServerModel(fake.url)
    fake.faults.append("reset")
    assert model.sample(PROMPT, 1) == [Sample("", 8, (), False)] and not pauses
    fake.faults.extend(["reset"] * 2)
    assert model.sample(PROMPT, 2) == [Sample("", 16, (), False), Sample("", 0, (), False)]
    fake.faults.extend([OK, "reset"])
    first, second = model.sample(PROMPT, 2, max_new_tokens=4)
    assert first.tokens + second.tokens <= 8 and fake.bodies[-1]["max_tokens"] == 4 - first.tokens
    assert model.lost_tries == 4 and model.lost_tokens == 8 + 16 + 4


def test_lost_tries_of_score_are_repeated_and_only_counted(fake: Fake, pauses: list[float]) -> None:
    model = ServerModel(fake.url)
    fake.faults.extend(["reset", "cut"])
    assert model.score("Reply:", [" yes"]) == Direct(TABLE).score("Reply:", [" yes"])
    assert model.lost_tries == model.lost_tokens == 2


@pytest.mark.parametrize("seed", range(12))
def test_every_token_that_was_made_is_in_the_ledger(fake: Fake, pauses: list[float], seed: int) -> None:
    """Whatever fails, seen or not: the server's own count is never above the ledger's, nor that above the budget."""
    chance = random.Random(seed)
    faults = [(429, {}), (500, {}), (502, {}), (503, {}), (504, {}), "reset", "cut"]
    fake.faults.extend(chance.choice(faults) if chance.random() < 0.3 else OK for _ in range(200))
    model, budget = ServerModel(fake.url, retries=9), Budget(chance.randrange(20, 120), 12)
    if seed % 3 == 0:
        result: Any = ParallelChains(model, None, budget, tool, seed=seed).search("Who?", plan=PLAN)
    else:
        planner = Planner(model) if seed % 3 == 1 else None
        result = search(model, budget, None if planner else PLAN, seed=seed, planner=planner)
    assert fake.made <= result.ledger.spent["tokens"] <= budget.tokens
    assert model.lost_tries > 0 and result.ledger.spent["tokens"] <= fake.made + model.lost_tokens


def test_killed_midway_and_started_again(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.faults.extend([*[OK] * 5, "killed"])
    model = ServerModel(fake.url, backoff=0.1)
    result = search(model, Budget(120, 12))
    assert (result.answer and result.reason == "exhausted") or result.ledger.spent["tokens"] > 100
    assert model.lost_tries == 1 and len(fake.bodies) > 8
    assert fake.made <= result.ledger.spent["tokens"] <= 120
    assert "no answer" in caplog.text and "no connection" in caplog.text


def test_nobody_there(fake: Fake, pauses: list[float]) -> None:
    model = ServerModel(fake.url)
    fake.stop()
    try:
        with pytest.raises(ServerError, match=r"no connection \(Connection refused\); gave up after 5 tries"):
            model.sample(PROMPT, 1)
        assert model.lost_tries == 0 and len(pauses) == 4
        with pytest.raises(ServerError, match="/v1/models: no connection"):
            ServerModel(fake.url)
    finally:
        fake.start()


def test_no_such_host(pauses: list[float]) -> None:
    with pytest.raises(ServerError, match=r"cannot connect to http://nowhere\.invalid"):
        ServerModel("http://nowhere.invalid")
    assert not pauses


def test_plain_text_where_tls_is_expected(fake: Fake, pauses: list[float]) -> None:
    with pytest.raises(ServerError, match="cannot connect to https://"):
        ServerModel(fake.url.replace("http:", "https:"))


# Names, addresses and keys


def test_the_only_model_is_taken(fake: Fake) -> None:
    assert ServerModel(fake.url).name == "scripted"
    fake.names = ["one", "two"]
    with pytest.raises(ValueError, match=r"has 2 models: give one as model, or as http://.*#NAME: one, two"):
        ServerModel(fake.url)
    assert ServerModel(fake.url, "two").name == ServerModel(f"{fake.url}/v1#two").name == "two"
    fake.names = []
    model = ServerModel(fake.url)
    model.sample(PROMPT, 1)
    assert model.name == "server" and "model" not in fake.bodies[-1]
    fake.paths.remove("/v1/models")
    assert ServerModel(fake.url).name == "server"


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_addresses(fake: Fake, end: str) -> None:
    model = ServerModel(fake.url + end)
    assert model.url == fake.url and model.sample(PROMPT, 1)
    assert is_url(fake.url) and is_url("HTTPS://a") and not is_url("folder") and not is_url(None)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://a", "http://", "http://a?key=b", "http://a:port", "http://[1"]
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ValueError, match="url must be like http://localhost:8000/v1, got"):
        ServerModel(url)


def test_the_key_is_sent_and_never_shown(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.key = "sk-secret"
    monkeypatch.setenv("BAVT_API_KEY", "sk-secret")
    result = search(ServerModel(fake.url))
    assert result.answer and fake.headers[0]["Authorization"] == "Bearer sk-secret"
    wrong = ServerModel(fake.url, api_key="sk-wrong")
    with pytest.raises(ServerError, match=r"401, 'Incorrect API key provided: Bearer \*\*\*'") as error:
        wrong.sample(PROMPT, 1)
    shown = f"{error.value!r}{wrong!r}{wrong}{wrong.notes}{caplog.text}{json.dumps(result.trace.header)}"
    assert "sk-" not in shown and error.value.__cause__ is None
    for key in ("sk secret", "sk\nsecret", "schlüssel", 5):
        with pytest.raises(ValueError, match="api_key") as error:
            ServerModel(fake.url, api_key=key)  # type: ignore[arg-type]
        assert "secret" not in str(error.value)
    with pytest.raises(ValueError, match="BAVT_API_KEY") as error:
        ServerModel("http://user:secret@127.0.0.1")
    assert "secret" not in str(error.value)


def test_a_redirect_is_not_followed(fake: Fake) -> None:
    model = ServerModel(fake.url, api_key="k")
    fake.faults.append((307, {"Location": "http://127.0.0.1:1/v1/completions"}))
    with pytest.raises(ServerError, match="status 307"):
        model.sample(PROMPT, 1)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"timeout": 0}, "timeout"), ({"retries": -1}, "retries"), ({"backoff": -1}, "backoff"), ({"model": 3}, "model")],
)
def test_bad_settings(options: dict[str, Any], name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        ServerModel("http://127.0.0.1:1", **options)


def test_bad_requests_are_refused_before_they_are_sent(fake: Fake) -> None:
    model = ServerModel(fake.url)
    calls: list[Callable[[], Any]] = [
        lambda: model.sample(3, 1),  # type: ignore[arg-type]
        lambda: model.sample(PROMPT, -1),
        lambda: model.sample(PROMPT, 1, stop=("",)),
        lambda: model.score(PROMPT, "text"),
        lambda: model.count_tokens(None),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError)):
            call()
    assert not fake.bodies


# The command line


def test_load_model_takes_an_address(fake: Fake) -> None:
    model = load_model(f"{fake.url}#scripted", retries=0)
    assert isinstance(model, ServerModel) and (model.name, model.retries) == ("scripted", 0)


@pytest.fixture
def world(tmp_path: Path) -> str:
    pages = {"Ada": "Ada was born in Lund.", "Lund": "The mayor of Lund is Ole Berg."}
    questions = [{"question": "Who is the mayor of the birthplace of Ada?", "plan": PLAN, "answer": "Ole Berg"}]
    (tmp_path / "world.json").write_text(json.dumps({"pages": pages, "questions": questions}))
    return str(tmp_path / "world.json")


def test_ask(fake: Fake, world: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--model", fake.url, "--data", world, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["settings"]["model"] == "scripted" and said["settings"]["critic"] == "LogProbCritic(scale=0.4)"
    assert said["answer"] and said["spent"]["tokens"] == fake.made - 1  # one to see whether there are logprobs
    assert main(["ask", "--model", fake.url, "--data", world, "--critic", "prompted"]) == 0
    assert main(["ask", "--model", fake.url, "--data", world, "--plan", "own", "--method", "parallel"]) == 0


def test_ask_a_server_without_logprobs(fake: Fake, world: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake.logprobs = False
    assert main(["ask", "--model", fake.url, "--data", world]) == 0
    out, err = capsys.readouterr()
    assert "ConstantCritic" in out and "no step is judged (critic constant)" in err
    for critic, words in (("logprob", "--critic constant needs none"), ("prompted", "does not show how likely")):
        assert main(["ask", "--model", fake.url, "--data", world, "--critic", critic]) == 1
        assert f"--critic {critic}: " in (err := capsys.readouterr().err) and words in err


def test_bench_leaves_out_the_critics_that_a_server_cannot_serve(
    fake: Fake, world: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(Path(world).read_text())
    content["questions"].append({"question": "Who is the mayor of Lund?", "answer": "Ole Berg"})
    Path(world).write_text(json.dumps(content))
    store = tmp_path / "rows.sqlite"
    bench = ["bench", "--model", fake.url, "--data", world, "--budgets", "8/4", "--seeds", "1", "--store", str(store)]

    def silent(answer: dict[str, Any]) -> dict[str, Any]:
        answer["choices"][0].get("logprobs", {}).pop("top_logprobs", None)
        return answer

    fake.change = silent
    assert main(bench) == 0
    out, err = capsys.readouterr()
    assert "left out: critic prompted (" in err and "does not show how likely" in err
    assert "bavt, logprob" in out and "bavt, prompted" not in out
    store.unlink()
    fake.logprobs = False
    bench[2] += "#scripted"  # else the model of the first run is taken, which has seen log-probabilities
    assert main(bench) == 1
    err = capsys.readouterr().err
    assert err.startswith("bavt: error: --model: no critic can judge there") and err.count("\n") == 1
    assert "gives no log-probabilities" in err and not store.exists()


@pytest.mark.parametrize("critic", ["adapter", "mix", "head"])
def test_ask_for_a_critic_that_needs_weights(critic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--model", "http://127.0.0.1:1", "--critic", critic]) == 1
    assert f"--critic {critic}: it needs a model's weights" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["critics"], ["train", "planner"], ["train", "head"]])
def test_commands_that_need_weights(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--model", "http://127.0.0.1:1"]) == 2
    assert "weights; give a folder or a hub id" in capsys.readouterr().err


def test_a_search_that_lost_its_server_is_resumed(
    fake: Fake, world: str, tmp_path: Path, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    trace = str(tmp_path / "a.trace.json")
    fake.faults.extend([*[OK] * 5, *[(503, {})] * 5])
    assert main(["ask", "--model", fake.url, "--data", world, "--save", trace]) == 1
    err = capsys.readouterr().err
    assert f"Go on with: bavt ask --resume {trace} --data {world} --model {fake.url}" in err and "gave up" in err
    assert main(["ask", "--model", fake.url, "--data", world, "--resume", trace]) == 0
    assert fake.made - 2 <= Trace.load(trace).events[-1].ledger["tokens"] <= 64
