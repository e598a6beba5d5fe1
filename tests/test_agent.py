"""The guide's names on the agent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bavt_minimal
from bavt_minimal import (
    Budget,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    CriticHead,
    DualRoleLLMAgent,
    Ledger,
    LogProbCritic,
    ParallelChains,
    Planner,
    PromptedCritic,
    Step,
    TreeNode,
    format_plan,
)
from bavt_minimal.critics import load_critic, trained_agent
from bavt_minimal.critics.adapter import AdapterCritic
from bavt_minimal.critics.mix import MixCritic
from bavt_minimal.models import adapters
from bavt_minimal.models.hf import HFModel
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.tasks.data import Gold

PLAN = ["Where is it?", "Who runs #1?"]
MODEL = ScriptedModel({"Question: Where is it?\nAnswer:": {"Rome": 0.7, "Oslo": 0.3}}, default={"Ann": 0.6, "Bob": 0.4})


def test_the_guides_names_are_importable() -> None:
    names = "BudgetAwareUCB TreeNode BudgetAwareValueTreeSearch DualRoleLLMAgent ResidualValuePredictor CriticHead"
    for name in names.split():
        assert hasattr(bavt_minimal, name) and name in bavt_minimal.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        bavt_minimal.Nonsense  # noqa: B018
    node = TreeNode("text")
    for name in ("text", "parent", "children", "visit_count", "value_sum", "residual_value"):
        assert hasattr(node, name)
    for name in bavt_minimal.__all__:
        assert getattr(bavt_minimal, name).__doc__, name


@pytest.mark.parametrize(
    ("line", "loaded"),
    [
        ("import bavt_minimal", False),
        ("from bavt_minimal.critics import trained_agent, load_critic", False),
        ("from bavt_minimal import CriticHead, ResidualValuePredictor", True),
    ],
)
def test_torch_is_imported_by_what_needs_it(line: str, loaded: bool) -> None:
    code = f"import sys\n{line}\nassert ('torch' in sys.modules) is {loaded}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reason_with_budget_is_the_search() -> None:
    agent = DualRoleLLMAgent(MODEL, seed=4)
    search = BudgetAwareValueTreeSearch(MODEL, None, 60, seed=4).search("Who?", plan=PLAN)
    assert agent.reason_with_budget("Who?", 60, plan=PLAN).trace.events == search.trace.events
    assert agent.reason_with_budget("Who?", Budget(60), 10, PLAN).trace.events == search.trace.events


def test_options_reach_the_search() -> None:
    agent = DualRoleLLMAgent(
        MODEL, lambda query: "A page.", LogProbCritic(0.2), num_candidates=2, answer_rule="majority", max_new_tokens=5
    )
    result = agent.reason_with_budget("Who?", Budget(60, 5), plan=PLAN)
    header = result.trace.header
    assert header["num_candidates"] == 2 and header["answer_rule"] == "majority" and header["max_new_tokens"] == 5
    assert "0.2" in header["critic"] and result.ledger.spent["tool_calls"] > 0


def test_generate_next_steps() -> None:
    agent = DualRoleLLMAgent(MODEL, seed=1)
    steps = agent.generate_next_steps("Question: Where is it?\nAnswer:", 5)
    assert steps == [s.text for s in MODEL.sample("Question: Where is it?\nAnswer:", 5, seed=1)]
    assert len(agent.generate_next_steps("Question: Where is it?\nAnswer:")) == 3
    assert agent.generate_next_steps("Question: Where is it?\nAnswer:", 0) == []


def test_compare_budgets() -> None:
    agent = DualRoleLLMAgent(MODEL)
    results = agent.compare_budgets("Who?", plan=PLAN)
    assert list(results) == [100, 250, 500, 1000]
    assert all(result.ledger.spent["tokens"] <= budget for budget, result in results.items())  # type: ignore[operator]
    assert list(agent.compare_budgets("Who?", [Budget(9, 1), 5], PLAN)) == [Budget(9, 1), 5]


def test_reason_fixed_budget_is_the_majority_of_chains() -> None:
    agent = DualRoleLLMAgent(MODEL, seed=4, num_candidates=2, examples="Few.\n", charge_prompt=True)
    chains = ParallelChains(MODEL, None, 200, seed=4, examples="Few.\n", charge_prompt=True).search("Who?", plan=PLAN)
    assert agent.reason_fixed_budget("Who?", 200, PLAN).trace.events == chains.trace.events


def test_without_a_plan_the_question_is_asked_as_it_is() -> None:
    assert DualRoleLLMAgent(MODEL).reason_with_budget("Where is it?", 40).answer in {"Rome", "Oslo"}


@dataclass
class Asked:
    answer: Any


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("Rome", "Rome", 1.0),
        ("the  ROME.", "Rome", 1.0),
        ("Rome", "Oslo", 0.0),
        ("", "Rome", 0.0),
        ("", "", 0.0),
        ("the", "a", 0.0),
        ("River Orme", "The River Orme", 1.0),
    ],
)
def test_evaluate(answer: str, gold: str, score: float) -> None:
    assert DualRoleLLMAgent.evaluate(answer, Asked(gold)) == score
    assert DualRoleLLMAgent(MODEL).evaluate(answer, Gold(gold)) == score


@pytest.mark.parametrize(("answer", "question"), [("Rome", Asked(None)), ("Rome", "Rome"), (None, Asked("Rome"))])
def test_evaluate_needs_a_gold_answer(answer: Any, question: Any) -> None:
    with pytest.raises(TypeError, match="evaluate"):
        DualRoleLLMAgent.evaluate(answer, question)


# A critic that reads hidden states


@dataclass
class Reader:
    """Judges by hidden states, and remembers which layers it was given."""

    layers: tuple[int, ...] = (1, 3)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        self.seen = {tuple(step.sample.hidden) for step in steps}
        return [0.1] * len(steps)


def test_a_critics_layers_are_drawn_with_the_samples() -> None:
    for search in (BudgetAwareValueTreeSearch, ParallelChains):
        reader = Reader()
        assert search(MODEL, reader, 30).search("Who?", plan=PLAN).answer and reader.seen == {(1, 3)}
        assert search(MODEL, reader, 30, layers=(2,)).search("Who?", plan=PLAN).answer and reader.seen == {(2,)}
    assert BudgetAwareValueTreeSearch(MODEL).generator.layers == ()


# One model, two roles


class Dual(ScriptedModel):
    """A base model whose adapters are scripts: one plans, one judges."""

    def with_adapter(self, role: str) -> ScriptedModel:
        plans = {format_plan(PLAN): 1.0}
        return ScriptedModel({}, default=plans if role == "planner" else {"Rome": 0.9, "Ann": 0.8}, name=role)


DUAL: Any = Dual(MODEL.table, MODEL.default)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that has all the weights."""
    from bavt_minimal.critics import head

    monkeypatch.setattr(adapters, "SHIPPED", tmp_path)
    monkeypatch.setattr(head, "SHIPPED", tmp_path)
    for role in adapters.ROLES:
        (tmp_path / role).mkdir()
        for name in (adapters.CONFIG, adapters.WEIGHTS, adapters.CARD):
            (tmp_path / role / name).touch()
    digest = CriticHead(DUAL, layers=(2,)).save(tmp_path / "head")["sha256"]
    (tmp_path / "head" / "mix.json").write_text(f'{{"head": "{digest}", "weights": {{"head": 1, "mean": 1}}}}')
    return tmp_path


def test_a_trained_agent_answers_a_bare_question(shipped: Path) -> None:
    agent = trained_agent(DUAL, lambda query: f"A page on {query}.", seed=2)
    result = agent.reason_with_budget("Who runs it?", Budget(80, 9))
    assert result.plan == tuple(PLAN) and result.answer in ("Ann", "Bob")
    assert {"planner", "generator", "critic", "tool"} <= set(result.ledger.by_role())
    header = result.trace.header
    assert header["planner_model"] == "planner" and header["critic"].startswith("AdapterCritic(")
    given = agent.reason_with_budget("Who runs it?", Budget(80, 9), plan=["Where is it?"])
    assert given.plan == ("Where is it?",) and "planner" not in given.ledger.by_role()


def test_a_trained_agents_options(shipped: Path) -> None:
    planner = Planner(MODEL, candidates=2)
    agent = trained_agent(DUAL, critic="logprob", planner=planner, scale=0.2, num_candidates=2)
    assert agent.options == {"planner": planner, "num_candidates": 2} and agent.critic == LogProbCritic(0.2)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adapter", AdapterCritic),
        ("mix", MixCritic),
        ("head", CriticHead),
        ("logprob", LogProbCritic),
        ("prompted", PromptedCritic),
        ("constant", ConstantCritic),
    ],
)
def test_load_critic(shipped: Path, name: str, kind: Any) -> None:
    critic: Any = load_critic(name, DUAL, 0.25)
    assert isinstance(critic, kind) and getattr(critic, "scale", 0.25) == 0.25
    assert BudgetAwareValueTreeSearch(DUAL, critic, 60).generator.layers == getattr(critic, "layers", ())


def test_load_critic_says_what_is_wrong(shipped: Path) -> None:
    with pytest.raises(ValueError, match="critic must be one of .*oracle"):
        load_critic("oracle", DUAL)
    with pytest.raises(TypeError, match="model must be an HFModel"):
        load_critic("adapter", MODEL)  # type: ignore[arg-type]
    (shipped / "critic" / "card.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"adapter 'critic'.*bavt train"):
        trained_agent(DUAL)
    (shipped / "head" / "card.json").unlink()
    with pytest.raises(FileNotFoundError, match="bavt train head"):
        load_critic("head", DUAL)


@pytest.mark.skipif(not all((adapters.SHIPPED / role).is_dir() for role in adapters.ROLES), reason="not trained yet")
def test_the_real_agent_plans_reads_and_judges(real_model: HFModel) -> None:
    from bavt_minimal.tasks import Lookup, builtin

    world, question = builtin()
    agent = trained_agent(real_model, Lookup(world.pages))
    result = agent.reason_with_budget(question.text, Budget(128, 16))
    assert result.plan and result.node.terminal and result.answer
    assert {"planner", "generator", "critic"} <= set(result.ledger.by_role())
    assert result.ledger.spent["tokens"] <= 128
