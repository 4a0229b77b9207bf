"""The base and what is made of it: tokenizer, pre-training, instruction tuning, a version."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from components.config.distilling import DistillSettings
from components.config.reinforcement import RewardModelSettings, RLSettings
from components.config.section import Section


class ModelSettings(Section):
    base: str = Field("local", min_length=1)
    """`local`: the base pre-trained here. Otherwise a Hugging Face folder or a hub id."""
    revision: str = "main"
    """Commit, tag or branch of a hub id."""
    context: int = Field(256, ge=32, le=131_072)
    """Tokens of prompt and answer together."""


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


class LoraSettings(Section):
    """The adapter of `train.method` lora and qlora, in PEFT's own words."""

    r: int = Field(16, ge=1)
    alpha: int = Field(64, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    use_dora: bool = False
    """Length and direction of each weight learned apart (Liu et al. 2024, https://arxiv.org/abs/2402.09353)."""
    use_rslora: bool = False
    """Scaled by alpha/sqrt(r), not alpha/r (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732): for a large r."""
    target_modules: Literal["all-linear"] | tuple[Annotated[str, Field(min_length=1)], ...] = "all-linear"
    """Where adapters stand: every linear layer but the head, or the layers with these names, e.g. [q_proj, v_proj]."""

    @field_validator("target_modules")
    @classmethod
    def _names_some_layer(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("names no layer: write all-linear, or a list such as [q_proj, v_proj]")
        return value


ObjectiveName = Literal["sft", "classify", "distill", "dpo", "kto", "orpo", "ppo", "grpo", "rloo"]
"""What a version is trained for; each name is a module of `components/training/objectives/`."""


TAUGHT_ALONE = frozenset({"ppo", "grpo", "rloo"})
"""Objectives that launched processes cannot share: they sample answers."""


class PreferenceSettings(Section):
    """How `dpo`, `kto` and `orpo` learn from pairs, and `kto` from judged answers; batch size (of pairs), warm-up and
    method are those of `train`."""

    beta: float | None = Field(None, gt=0)
    """dpo, kto: how much a nat away from the reference weighs, so that a smaller one moves further from it.
    orpo: the weight of the odds ratio beside the likelihood (λ in its paper). None: 1 for dpo and kto, 0.1 for orpo."""
    steps: int = Field(300, ge=1)
    """Fewer leave old answers worse: the first ones disturb them, and it takes the anchor the rest to right them."""
    lr: float | None = Field(None, gt=0, le=1)
    """None: a third of what suits the method and the base's width (see `train.lr`)."""
    anchor: float = Field(10.0, ge=0)
    """Weight of train.jsonl's right answers, taught in the same step: what keeps old answers right. Theirs is a mean
    over tokens, a comparison is of sums over answers: at 1 it hardly counts. 0: pairs only."""
    likelihood: float = Field(1.0, ge=0)
    """dpo, kto: weight of the chosen answers' own likelihood, which a comparison alone may let fall. 0: none."""
    settled: float | None = Field(None, ge=0)
    """A pair whose chosen answer the model that training begins with prefers already by so many nats is left out: steps
    would go into pushing it on, every turn anew. None: every pair is taught."""
    desirable_weight: float | None = Field(None, gt=0)
    undesirable_weight: float | None = Field(None, gt=0)
    """kto: how much a desirable, or an undesirable, answer counts (λ_D and λ_U in its paper). None: so that both kinds
    count alike, however many there are of each; the paper recommends that, up to 4:3 for the desirable ones."""


class TrainSettings(Section):
    objective: ObjectiveName = "sft"
    method: Literal["lora", "qlora", "full", "freeze"] = "lora"
    start: Literal["base", "champion"] = "base"
    steps: int = Field(300, ge=1)
    first_steps: int | None = Field(None, ge=1)
    """Steps of the first version on a local base that was instruction-tuned on this very task. None: `steps`."""
    batch_size: int = Field(16, ge=1)
    lr: float | None = Field(None, gt=0, le=1)
    """Peak of the learning rate. None: what suits the method and the base's width (components/training/methods.py)."""
    warmup: float = Field(0.05, ge=0, lt=1)
    micro_batch_size: int | None = Field(None, ge=1)
    """Gradient accumulation: at most so many rows go through the model at once; the step is the same. None: all."""
    gradient_checkpointing: bool = False
    """Compute activations again on the way back instead of keeping them: less memory, about a third more time."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of products. auto: bfloat16 on a GPU, and for a large model on a CPU with instructions for it."""
    compile: Literal["auto"] | bool = "auto"
    """Layers compiled by PyTorch, where products are in bfloat16: the first step takes half a minute longer, the others
    less. auto: on a GPU, and a large model."""
    deterministic: bool = True
    """The same inputs give the same bits, also through a kill. False: a GPU may sum in any order, which makes attention
    among rows of equal length twice as fast."""
    validation_rows: int = Field(0, ge=0)
    """Rows, or pairs, kept out of teaching (whole clusters of near copies): their loss says which step was the best."""
    validation_every: int = Field(50, ge=1)
    """Steps between two looks at them."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many looks on end that were no better than the best. None: train to the end."""
    replay: int = Field(800, ge=0)
    """Old rows that a turn teaches again: feedback of earlier turns, up to half of them and every row in its turn, and
    the task's own (components/curation/rehearsal.py)."""
    feedback_share: float = Field(0.3, ge=0, lt=1)
    """Least share of this turn's corrections among what it teaches; they are repeated to reach it."""
    calibration_share: float = Field(0.1, ge=0, le=0.5)
    """Objective classify: of the rows, how many are not taught but used to calibrate the probabilities; 0: none."""
    preference: PreferenceSettings = PreferenceSettings()
    distill: DistillSettings = DistillSettings()
    lora: LoraSettings = LoraSettings()
    freeze_top: int = Field(2, ge=1)
    """Layers that `freeze` trains, counted from the top, with the final norm and the head."""
    launcher: Literal["local", "torchrun", "ray"] = "local"
    """Who starts a training's processes (components/training/launchers): this machine's cores or its one GPU; one
    process for each of its GPUs; the workers of a Ray cluster (RAY_ADDRESS; without it one on this machine)."""
    processes: int | None = Field(None, ge=2)
    """torchrun, ray: how many. None: one for each GPU, or where there is none as many as `threads`."""
    restarts: int = Field(2, ge=0)
    """torchrun, ray: so often all begin again from the last checkpoint after one of them died."""
    checkpoint_every: int = Field(50, ge=1)
    golden_prompts: int = Field(8, ge=1)
    rl: RLSettings = RLSettings()
    reward_model: RewardModelSettings = RewardModelSettings()

    @model_validator(mode="after")
    def _patience_has_something_to_look_at(self) -> TrainSettings:
        if self.patience is not None and not self.validation_rows:
            raise ValueError("patience needs validation_rows, e.g. 200: rows whose loss says when to stop")
        return self

    @model_validator(mode="after")
    def _launched_processes_can_share_it(self) -> TrainSettings:
        if self.launcher != "local" and self.objective in TAUGHT_ALONE:
            raise ValueError(f"launcher: {self.launcher} cannot teach objective {self.objective}; set it to local")
        return self
