"""The whole of params.yaml, read and refused with the key's full path and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from components.config.data import (
    CorpusSettings,
    CurateSettings,
    ExamplesSettings,
    QualitySettings,
    TurnSettings,
)
from components.config.judging import JudgeSettings
from components.config.people import ArenaSettings, ReviewSettings
from components.config.section import Section
from components.config.serving import (
    ServingSettings,
)
from components.config.teaching import TeacherSettings
from components.config.training import (
    InstructSettings,
    ModelSettings,
    PretrainSettings,
    TokenizerSettings,
    TrainSettings,
)
from components.config.turning import (
    EvaluateSettings,
    ImproveSettings,
    PromotionSettings,
    SelectSettings,
)


class ConfigError(ValueError):
    """params.yaml holds something that cannot be; the message names key, value and remedy."""


class Settings(Section):
    """The whole of params.yaml."""

    task: str = Field("intake", pattern=r"^[a-z][a-z0-9_-]*$")
    seed: int = Field(17, ge=0)
    threads: int = Field(2, ge=1)
    model: ModelSettings = ModelSettings()
    examples: ExamplesSettings = ExamplesSettings()
    corpus: CorpusSettings = CorpusSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    pretrain: PretrainSettings = PretrainSettings()
    instruct: InstructSettings = InstructSettings()
    turn: TurnSettings = TurnSettings()
    curate: CurateSettings = CurateSettings()
    quality: QualitySettings = QualitySettings()
    train: TrainSettings = TrainSettings()
    select: SelectSettings = SelectSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    promotion: PromotionSettings = PromotionSettings()
    improve: ImproveSettings = ImproveSettings()
    review: ReviewSettings = ReviewSettings()
    arena: ArenaSettings = ArenaSettings()
    judge: JudgeSettings = JudgeSettings()
    teacher: TeacherSettings = TeacherSettings()
    serving: ServingSettings = ServingSettings()


def parse(values: dict[str, Any], source: str = "params.yaml") -> Settings:
    """Validate a params mapping.

    Raises:
        ConfigError: naming every wrong key by its full path, its value and what is allowed.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                lines.append(f"{source}: {key} is not a known key; {_known_keys(problem['loc'])}")
            else:
                lines.append(f"{source}: {key} = {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}")
        raise ConfigError("\n".join(lines)) from None


def load(path: Path | str = "params.yaml") -> Settings:
    """Read and validate params.yaml.

    Raises:
        ConfigError: the file is missing, is no YAML mapping, or holds an unknown or impossible value.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: run this from the project's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must be a mapping of keys to values")
    return parse(values, str(path))


def _known_keys(location: tuple[int | str, ...]) -> str:
    """The keys that exist where an unknown one was written."""
    section: Any = Settings
    for part in location[:-1]:
        if not _is_section(section):
            break
        field = section.model_fields.get(str(part))
        section = field.annotation if field else None
    return "known here: " + ", ".join(section.model_fields) if _is_section(section) else "remove it"


def _is_section(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
