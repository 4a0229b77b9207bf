"""params.yaml as typed, validated settings.

One file configures everything; DVC reads the same file, so a changed key reruns exactly
the stages that name it. An unknown or impossible value is refused here, at once, with
the key's full path and what is allowed. *Where* things are (databases, homes, ports) is
not configuration of the result: it comes from environment variables, see `Places`.
"""

from components.config.data import (
    ChampionReference,
    CorpusSettings,
    CurateSettings,
    ExamplesSettings,
    QualitySettings,
    SnapshotReference,
    TrustSettings,
    TurnSettings,
    VotesReference,
)
from components.config.distilling import DistillSettings
from components.config.endpoints import AskingSettings, EndpointSettings
from components.config.judging import JudgeSettings
from components.config.people import ArenaSettings, ReviewSettings
from components.config.places import Places, places
from components.config.reinforcement import RewardModelSettings, RewardSettings, RLSettings
from components.config.section import Section
from components.config.serving import (
    CanarySettings,
    ServingSettings,
    UpstreamSettings,
)
from components.config.settings import ConfigError, Settings, load, parse
from components.config.teaching import TeacherSettings
from components.config.training import (
    InstructSettings,
    LoraSettings,
    ModelSettings,
    ObjectiveName,
    PreferenceSettings,
    PretrainSettings,
    TokenizerSettings,
    TrainSettings,
)
from components.config.turning import (
    DriftSettings,
    EvaluateSettings,
    FailureRateSettings,
    ImproveSettings,
    PromotionSettings,
    SelectSettings,
)

__all__ = [
    "ArenaSettings",
    "AskingSettings",
    "CanarySettings",
    "ChampionReference",
    "ConfigError",
    "CorpusSettings",
    "CurateSettings",
    "DistillSettings",
    "DriftSettings",
    "EndpointSettings",
    "EvaluateSettings",
    "ExamplesSettings",
    "FailureRateSettings",
    "ImproveSettings",
    "InstructSettings",
    "JudgeSettings",
    "LoraSettings",
    "ModelSettings",
    "ObjectiveName",
    "Places",
    "PreferenceSettings",
    "PretrainSettings",
    "PromotionSettings",
    "QualitySettings",
    "RLSettings",
    "ReviewSettings",
    "RewardModelSettings",
    "RewardSettings",
    "Section",
    "SelectSettings",
    "ServingSettings",
    "Settings",
    "SnapshotReference",
    "TeacherSettings",
    "TokenizerSettings",
    "TrainSettings",
    "TrustSettings",
    "TurnSettings",
    "UpstreamSettings",
    "VotesReference",
    "load",
    "parse",
    "places",
]
