"""A task as its folder under tasks/ describes it: prompt, schema, where its rows come from.

Tasks are plug-ins: nothing here imports one by name. A folder holds

    task.yaml       this file's `Task`
    schema.py       optional: the pydantic model of a structured answer
    generator.py    optional: writes the task's own data (see `Generator`)
    examples.jsonl  optional: the user's rows, as `Example`
    reward.py       optional: what an answer is worth (see `Reward`), for objectives that learn from rewards
    teacher.md      optional: what a teacher is told in place of the system message (`saqia label`)
    principles.md   optional: by what a model compares two answers (`saqia judge`)
    judge.py        optional: compares two answers in the model's place (see `Judge`)
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components import config, layout
from components.schema import Example, Message


class TaskError(ValueError):
    """A task's folder is incomplete or contradicts itself; the message names file and key."""


class EvaluationSet(BaseModel):
    """How one evaluation set counts in the verdict; see `schema.Comparison.role`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str
    role: Literal["guard", "shown"]


class Setting(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shot(Setting):
    """One example to show: a message and the right answer to it."""

    message: str
    answer: str


class FewShot(Setting):
    """Examples shown as earlier turns; as many as fit into the context."""

    choose: Literal["fixed", "nearest"] = "nearest"
    """nearest: the training examples most like the question; fixed: always the same."""
    shots: int = Field(4, ge=1, le=64)
    examples: tuple[Shot, ...] = ()
    """For `fixed`; without them, the first training examples."""


class ChainOfThought(Setting):
    """The model thinks before it answers; the thoughts are kept apart from the answer."""

    instruction: str = (
        "Think step by step first. Write your thoughts between <think> and </think>, then the answer and nothing else."
    )
    max_characters: int = Field(2000, ge=1, le=20_000)
    """Longest thoughts, where a schema or labels make the form enforceable; never more than half of the room."""


class SelfConsistency(Setting):
    """Several samples; the answer that most of them give."""

    samples: int = Field(5, ge=2, le=64)
    temperature: float = Field(0.7, gt=0, le=2)
    """Where the client sends none."""


class Prompting(Setting):
    """How the service asks the model when a client names the task and sends no system message.

    Nothing set is zero-shot. The three go together.
    """

    constrain: bool = True
    """The answer follows the task's schema, or is one of its labels, by grammar."""
    few_shot: FewShot | None = None
    chain_of_thought: ChainOfThought | None = None
    self_consistency: SelfConsistency | None = None


class Task(BaseModel):
    """task.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    title: str
    description: str = ""
    answer: Literal["json", "text", "label"]
    system: str = ""
    """The system message that examples are taught with and that serving adds."""
    schema_: str | None = Field(None, alias="schema")
    """`schema.py:IntakeNote`: file in the task's folder and class."""
    labels: tuple[str, ...] = ()
    sets: tuple[EvaluationSet, ...] = (EvaluationSet(name="test", title="test", role="guard"),)
    """Evaluation sets that `examples` writes beside train."""
    simulated_people: bool = False
    """True where a simulated person (the generator's truth) corrects answers: the demo."""
    suggestions: tuple[str, ...] = ()
    """Prompts that the chat page offers to try."""
    prompting: Prompting = Prompting()
    """How the service asks: zero-shot unless it says otherwise."""
    base: str | None = None
    """The base that the task was made for (`saqia init --base`); `model.base` in params.yaml decides."""

    def schema_model(self) -> type[BaseModel] | None:
        """The pydantic class of a structured answer, or None for text and labels."""
        if self.schema_ is None:
            return None
        file, _, name = self.schema_.partition(":")
        model = getattr(_module(self.name, file), name, None)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TaskError(f"tasks/{self.name}/task.yaml: schema: {file} defines no pydantic class {name!r}")
        return model

    def prompt(self, message: str) -> tuple[Message, ...]:
        """The messages that ask the model about one user message."""
        system = (Message(role="system", content=self.system),) if self.system else ()
        return (*system, Message(role="user", content=message))

    def normalise(self, answer: str) -> str:
        """The form in which two answers are compared: canonical JSON, or whitespace-folded text."""
        model = self.schema_model()
        if model is None and self.answer == "json":
            return json.dumps(_json_object(answer), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        if model is None:
            return " ".join(answer.split())
        return model.model_validate_json(answer).model_dump_json()

    def parse(self, answer: str) -> dict[str, Any] | None:
        """The answer's fields, or None where it is not a valid answer of this task."""
        model = self.schema_model()
        if model is None and self.answer == "json":
            try:
                return _json_object(answer)
            except ValueError:
                return None
        if model is None:
            valid = not self.labels or answer.strip() in self.labels
            return {"answer": " ".join(answer.split())} if valid else None
        try:
            return cast(dict[str, Any], json.loads(model.model_validate_json(answer).model_dump_json()))
        except ValidationError:
            return None

    def fault(self, answer: str) -> str | None:
        """Why this is no answer of the task, in a phrase; None where it is one."""
        if not answer.strip():
            return "the answer is empty"
        if self.parse(answer) is not None:
            return None
        model = self.schema_model()
        if model is None and self.answer == "json":
            return f"{answer[:60]!r} is no JSON object"
        if model is None:
            return f"{answer[:60]!r} is none of the labels {', '.join(self.labels)}"
        try:
            model.model_validate_json(answer)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            return f"{where + ': ' if where else ''}{first['msg']}"[:200]
        return "the answer is not valid"


def _json_object(answer: str) -> dict[str, Any]:
    value = json.loads(answer)
    if not isinstance(value, dict):
        raise ValueError("the answer is JSON, but no object")
    return value


class Generator(Protocol):
    """What tasks/<name>/generator.py offers: functions of a seed, nothing else."""

    def example_sets(self, seed: int, sizes: Mapping[str, int]) -> dict[str, list[Example]]:
        """Rows per set name. `traffic` is new traffic with the truth as its answer."""
        ...

    def corpus(self, seed: int, documents: int) -> Iterator[str]:
        """Pre-training text, one document at a time; shares no message with any evaluation set."""
        ...


def load(name: str, root: Path = Path(".")) -> Task:
    """Read tasks/<name>/task.yaml.

    Raises:
        TaskError: there is no such task (the existing ones are named), or task.yaml is wrong.
    """
    if name in layout.RESERVED:
        raise TaskError(f"no task can be called {name}: the pipeline's own folders are; rename tasks/{name}")
    file = root / layout.task_folder(name) / "task.yaml"
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TaskError(f"{file} must be a mapping: name, title, answer, …")
        task = Task.model_validate(values)
    except FileNotFoundError:
        there = sorted(p.parent.name for p in (root / "tasks").glob("*/task.yaml"))
        raise TaskError(f"no task {name!r}: {file} is missing; tasks here: {', '.join(there) or 'none'}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise TaskError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TaskError(f"{file} is not readable YAML: {' '.join(str(error).split())}") from None
    if task.name != name:
        raise TaskError(f"{file}: name is {task.name!r} but the folder is {name!r}")
    return task


NOT_OF_A_TASK = {
    "task": "the project's params.yaml says which task serves",
    "turn": "the flow writes it into the turn's own folder",
}
"""Keys of params.yaml that a task's own file must not hold, and why. It may hold all others."""


def settings(name: str | None = None, root: Path = Path(".")) -> config.Settings:
    """The settings that hold for a task: `parameters`, typed.

    Raises:
        ConfigError, TaskError: as `parameters`.
    """
    return config.parse(parameters(name, root))


def parameters(
    name: str | None = None, root: Path = Path("."), overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """params.yaml as it holds for a task: the project's, the task's base and own params.yaml over it, then `overrides`.

    Args:
        name: the task; None for the one that params.yaml names.

    Raises:
        ConfigError: the result is impossible (file, key, value and what is allowed are named).
        TaskError: task.yaml is wrong.
    """
    file = root / layout.PARAMS
    name = name or config.load(file).task
    config.load(file)
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    if (root / layout.task_folder(name) / "task.yaml").exists():
        base = load(name, root).base
        values = _merge(values, {"model": {"base": base}} if base else {})
    own = root / layout.task_folder(name) / "params.yaml"
    if own.exists():
        try:
            of_task = yaml.safe_load(own.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise config.ConfigError(f"{own} is not readable YAML: {' '.join(str(error).split())}") from None
        if not isinstance(of_task, dict):
            raise config.ConfigError(f"{own} must be a mapping of params.yaml's keys")
        for key in NOT_OF_A_TASK.keys() & of_task.keys():
            raise config.ConfigError(f"{own}: {key} cannot be set by a task: {NOT_OF_A_TASK[key]}; remove it there")
        values = _merge(values, of_task)
        config.parse(values, f"{layout.PARAMS} with {own}")
    values = _merge(values, {"task": name, **(overrides or {})})
    config.parse(values, "the turn's params.yaml")
    return values


def _merge(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping) and key != "turn"
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def generator(name: str) -> Generator | None:
    """The task's generator module, or None where the task brings its own rows."""
    if not (layout.task_folder(name) / "generator.py").exists():
        return None
    return cast(Generator, _module(name, "generator.py"))


class Reward(Protocol):
    """`reward` in tasks/<name>/reward.py: what an answer is worth; the larger, the better."""

    def __call__(self, prompt: tuple[Message, ...], answer: str, truth: str) -> float:
        """Args: truth: the row's own answer."""
        ...


def own_reward(name: str) -> Reward | None:
    """The function `reward` of the task's reward.py, or None where there is no such file.

    Raises:
        TaskError: the file cannot be imported, or defines no function of that name.
    """
    return cast("Reward | None", _own_function(name, "reward.py", "reward", "(prompt, answer, truth) -> float"))


class Judge(Protocol):
    """`prefer` in tasks/<name>/judge.py: which of two answers is better, by whatever the task can compute."""

    def __call__(self, prompt: tuple[Message, ...], first: str, second: str) -> str:
        """`first`, `second` or `neither`."""
        ...


def own_judge(name: str) -> Judge | None:
    """The function `prefer` of the task's judge.py, or None where there is no such file.

    Raises:
        TaskError: the file cannot be imported, or defines no function of that name.
    """
    return cast("Judge | None", _own_function(name, "judge.py", "prefer", "(prompt, first, second) -> str"))


def _own_function(name: str, file: str, function: str, signature: str) -> Any:
    """A function of a file that a task may bring, or None where it brings no such file."""
    path = layout.task_folder(name) / file
    if not path.exists():
        return None
    found = getattr(_module(name, file), function, None)
    if not callable(found):
        raise TaskError(f"{path} defines no function {function}{signature}")
    return found


def _module(task: str, file: str) -> ModuleType:
    """Import a file of a task's folder as `tasks.<task>.<stem>`."""
    stem = file.removesuffix(".py")
    qualified = f"tasks.{task}.{stem}"
    if qualified in sys.modules:
        return sys.modules[qualified]
    path = layout.task_folder(task) / file
    spec = importlib.util.spec_from_file_location(qualified, path)
    if spec is None or spec.loader is None or not path.exists():
        raise TaskError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[qualified]
        raise TaskError(f"{path} cannot be imported: {error}") from error
    return module
