"""params.yaml as typed, validated settings.

One file configures everything; DVC reads the same file, so a changed key reruns exactly
the stages that name it. An unknown or impossible value is refused here, at once, with
the key's full path and what is allowed. *Where* things are (databases, homes, ports) is
not configuration of the result: it comes from environment variables, see `Places`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ConfigError(ValueError):
    """params.yaml holds something that cannot be; the message names key, value and remedy."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    base: str = Field("local", min_length=1)
    """`local`: the base pre-trained here. Otherwise a Hugging Face folder or a hub id."""
    revision: str = "main"
    """Commit, tag or branch of a hub id."""
    context: int = Field(256, ge=32, le=131_072)
    """Tokens of prompt and answer together."""


class ExamplesSettings(Section):
    """Sizes of the sets that a task's generator writes; `held_out_share` splits tasks that bring rows."""

    train: int = Field(4000, ge=1)
    test: int = Field(600, ge=1)
    unseen: int = Field(600, ge=0)
    new: int = Field(600, ge=0)
    new_unseen: int = Field(600, ge=0)
    traffic: int = Field(260, ge=0)
    held_out_share: float = Field(0.15, gt=0, lt=0.9)


class CorpusSettings(Section):
    task: str = "intake"
    documents: int = Field(24_000, ge=10)
    instructions: int = Field(12_000, ge=1)
    """Rows of instruction tuning: many distinct ones seen once teach more than few seen often."""


class TokenizerSettings(Section):
    vocab_size: int = Field(2048, ge=300, le=262_144)


class PretrainSettings(Section):
    hidden_size: int = Field(128, ge=16, multiple_of=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    steps: int = Field(500, ge=0)
    """0 skips pre-training (random weights): for benchmarks that show what it is worth."""
    batch_tokens: int = Field(2048, ge=64)
    window: int = Field(128, ge=16)
    """Tokens of one training window; at most model.context."""
    optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = Field(0.02, gt=0, le=1)
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    checkpoint_every: int = Field(100, ge=1)


class InstructSettings(Section):
    steps: int = Field(400, ge=1)
    batch_size: int = Field(16, ge=1)
    optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = Field(0.01, gt=0, le=1)
    warmup: float = Field(0.05, ge=0, lt=1)
    checkpoint_every: int = Field(100, ge=1)


class SnapshotReference(Section):
    """One past turn's feedback: everything up to event `through`, with the digest of its content."""

    through: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ChampionReference(Section):
    version: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class TurnSettings(Section):
    snapshots: tuple[SnapshotReference, ...] = ()
    champion: ChampionReference | None = None


class CurateSettings(Section):
    near_duplicate: float = Field(0.8, gt=0, le=1)
    regression_share: float = Field(0.25, ge=0, lt=1)
    rater_share: float = Field(0.5, gt=0, le=1)
    rater_free: int = Field(20, ge=0)
    """Rows of a turn that anybody may give before `rater_share` bounds them."""
    trusted_raters: tuple[str, ...] = ()
    """People whom `rater_share` does not bound: the team's own."""
    replay_rows: int = Field(300, ge=0)
    """Rows of the task's own that are never taught: what replay must preserve (at most a fifth of them)."""
    scrub: tuple[Literal["email", "phone", "id_number", "url", "ip", "credit_card"], ...] = (
        "email",
        "phone",
        "id_number",
    )
    phone_regions: tuple[str, ...] = ("US", "GB")
    """Countries (ISO 3166) whose national phone notation is recognised; numbers with + always are."""


class QualitySettings(Section):
    min_rows: int = Field(50, ge=1)
    max_feedback_share: float = Field(0.5, ge=0, le=1)
    max_label_share: float = Field(0.9, gt=0, le=1)
    languages: tuple[str, ...] = ("en",)
    """ISO 639-1 codes of the languages that questions (and answers in free text) are in; [] checks none."""
    max_other_language: float = Field(0.05, ge=0, le=1)
    """Share of the rows that may surely be in another language."""


class LoraSettings(Section):
    r: int = Field(16, ge=1)
    alpha: int = Field(64, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)


class TrainSettings(Section):
    method: Literal["lora", "full", "freeze"] = "lora"
    start: Literal["base", "champion"] = "base"
    steps: int = Field(300, ge=1)
    first_steps: int | None = Field(None, ge=1)
    """Steps of the first version on a local base that was instruction-tuned on this very task. None: `steps`."""
    batch_size: int = Field(16, ge=1)
    lr: float = Field(2e-3, gt=0, le=1)
    warmup: float = Field(0.05, ge=0, lt=1)
    replay: int = Field(800, ge=0)
    feedback_share: float = Field(0.3, ge=0, lt=1)
    """Least share of corrections among what is taught in a turn; they are repeated to reach it."""
    lora: LoraSettings = LoraSettings()
    freeze_top: int = Field(2, ge=1)
    """Layers that `freeze` trains, counted from the top, with the final norm and the head."""
    checkpoint_every: int = Field(50, ge=1)
    golden_prompts: int = Field(8, ge=1)


class EvaluateSettings(Section):
    batch_size: int = Field(100, ge=1)
    max_new_tokens: int = Field(96, ge=1)
    perplexity_rows: int = Field(200, ge=0)
    """Reference answers a set that perplexity is measured on; exact match is always measured on all."""


class PromotionSettings(Section):
    confidence: float = Field(0.95, gt=0.5, lt=1)
    resamples: int = Field(10_000, ge=100)
    delta: float = Field(0.02, ge=0, lt=1)
    min_target: int = Field(20, ge=1)
    approval: Literal["none", "human"] = "none"
    approval_hours: float = Field(24, gt=0)


class ImproveSettings(Section):
    cron: str = "0 2 * * *"
    timezone: str = "UTC"
    corrections: int = Field(120, ge=1)
    """So many that the part locked as tests (curate.regression_share) nearly always reaches promotion.min_target."""
    when_busy: Literal["wait", "cancel"] = "wait"
    retries: int = Field(1, ge=0, le=10)
    """Of a stage that was killed (out of memory, say); one that says why it can't is not tried again."""
    retry_seconds: float = Field(5, ge=0)


class UpstreamSettings(Section):
    """Another OpenAI-compatible server that answers (`serving.engine: upstream`)."""

    base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Up to and with `/v1`, e.g. http://127.0.0.1:8000/v1."""
    key_env: str = Field("SAQIA_UPSTREAM_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the server's API key; unset, none is sent."""
    model: str = Field("{task}@{version}", min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")
    """What the server calls a registered version; without `{version}`, the one model that answers everything."""
    models: dict[str, str] = Field(default_factory=dict)
    """Versions (or `base`) that the server calls otherwise."""
    connect_seconds: float = Field(5, gt=0)

    @field_validator("model")
    @classmethod
    def _names_only_what_is_known(cls, value: str) -> str:
        try:
            value.format(task="t", version="1")
        except (KeyError, IndexError, ValueError):
            raise ValueError("may hold {task} and {version} and no other braces") from None
        return value


class CanarySettings(Section):
    share: float = Field(0.0, ge=0, le=0.5)
    """Of the task's users (or conversations), who get a version that passed before everybody does; 0: no canary."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """With which a version is withdrawn or promoted early; it holds however often one looks."""
    answers: int = Field(500, ge=1)
    """After so many answers of a canary that nothing spoke against it becomes the champion."""


class ServingSettings(Section):
    engine: Literal["auto", "torch", "openvino", "upstream"] = "auto"
    """What answers. auto: on a CPU openvino for what it does exactly and torch for the rest; torch on a GPU."""
    poll_seconds: float = Field(2, gt=0)
    max_batch: int = Field(32, ge=1)
    max_queue: int = Field(256, ge=1)
    deadline_seconds: float = Field(60, gt=0)
    merge_up_to: int = Field(500_000_000, ge=0)
    """Parameters of a base up to which each version is merged into a copy of its own."""
    max_body_mb: float = Field(4, gt=0)
    loaded_versions: int = Field(2, ge=1)
    """Versions loaded because a request named them, beside the champion and the one before it."""
    prefix_cache_mb: float = Field(64, ge=0)
    """Keys and values of shared beginnings of prompts (system messages) that the torch engine keeps; 0 keeps none."""
    upstream: UpstreamSettings = UpstreamSettings()
    canary: CanarySettings = CanarySettings()
    api_keys: Literal["elsewhere", "always"] = "elsewhere"
    """elsewhere: needed by whoever does not come over this machine's loopback; always: also there (behind a proxy)."""
    requests_per_minute: int = Field(3000, ge=0)
    """Per key; 0 is without limit. Who needs no key has no limit."""
    tokens_per_minute: int = Field(1_000_000, ge=0)
    """Prompt and answer tokens per key; 0 is without limit."""
    log_messages: bool = False
    """Write what was asked and answered into the log, too."""
    mirror: Literal["none", "mlflow"] = "none"
    """Copy every answer to MLflow as a trace, in the background; the database stays the record."""
    mirror_queue: int = Field(1000, ge=1)
    """Answers that may wait for the mirror; more are dropped from it, and counted."""

    @model_validator(mode="after")
    def _upstream_has_an_address(self) -> ServingSettings:
        if self.engine == "upstream" and not self.upstream.base_url:
            raise ValueError("engine upstream needs serving.upstream.base_url, e.g. http://127.0.0.1:8000/v1")
        return self


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
    evaluate: EvaluateSettings = EvaluateSettings()
    promotion: PromotionSettings = PromotionSettings()
    improve: ImproveSettings = ImproveSettings()
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
                lines.append(f"{source}: {key} = {problem['input']!r}: {problem['msg']}")
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


class Places(BaseSettings):
    """Where this installation keeps its state: environment variables, all optional.

    Relative defaults are resolved against the project's root, so a stage that runs in a
    turn's own worktree needs the flow to pass them on as absolute paths; `as_env` does.
    """

    model_config = SettingsConfigDict(env_prefix="SAQIA_", extra="ignore")

    home: Path = Path(".saqia")
    """Feedback store, logs, pid files, worktrees, the local DVC remote, bases by hash."""
    database_url: str | None = None
    """SQLAlchemy URL of the feedback store; default a SQLite file under `home`."""
    tracking_uri: str | None = Field(None, validation_alias="MLFLOW_TRACKING_URI")
    """MLflow; default SQLite and files under mlruns/."""
    host: str = "127.0.0.1"
    port: int = 3000
    prefect_port: int = 4200
    mlflow_port: int = 5000

    def absolute(self, root: Path | None = None) -> Places:
        """The same places with every path absolute and every default filled in."""
        root = (root or Path.cwd()).resolve()
        home = self.home if self.home.is_absolute() else root / self.home
        return Places.model_construct(
            home=home,
            database_url=self.database_url or f"sqlite:///{home / 'saqia.db'}",
            tracking_uri=self.tracking_uri or f"sqlite:///{root / 'mlruns' / 'mlflow.db'}",
            host=self.host,
            port=self.port,
            prefect_port=self.prefect_port,
            mlflow_port=self.mlflow_port,
        )

    def as_env(self) -> dict[str, str]:
        """Environment variables that give a child process these same places."""
        assert self.database_url, "call absolute() first"
        assert self.tracking_uri, "call absolute() first"
        return {
            "SAQIA_HOME": str(self.home),
            "SAQIA_DATABASE_URL": self.database_url,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "SAQIA_HOST": self.host,
            "SAQIA_PORT": str(self.port),
            "SAQIA_PREFECT_PORT": str(self.prefect_port),
            "SAQIA_MLFLOW_PORT": str(self.mlflow_port),
        }


def places(root: Path | None = None) -> Places:
    """This process's places, absolute."""
    return Places().absolute(root)
