"""The expectations, suite by suite, and what Great Expectations says of them.

Two suites look at every row of a file (training rows, evaluation rows), one at the training
set as a whole. Each expectation carries the name of its rule and says in its description
what must hold.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.config import QualitySettings
from components.quality import judged, pairs
from components.quality.frame import COLUMNS

os.environ["GX_ANALYTICS_ENABLED"] = "false"

if TYPE_CHECKING:
    import pandas as pd

NAMED = 100
"""So many offending rows of a rule are named; all are counted."""
TAUGHT = ("training", "preference", "judged")
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Great Expectations stamps each run. The stage's output must not change with the clock, so it gets a fixed time."""


@dataclass(frozen=True)
class Rule:
    """One expectation and what came of it."""

    suite: str
    rule: str
    says: str
    passed: bool
    observed: float | None
    failures: int
    rows: tuple[dict[str, str], ...] = ()
    """`where` (file:line), `id` and `what` of the offending rows, at most NAMED."""


def run(frames: Mapping[str, pd.DataFrame], settings: QualitySettings, context_tokens: int, docs: Path) -> list[Rule]:
    """Validate each frame against its suites, and write Data Docs as Great Expectations renders them.

    `frames` maps `training` and `evaluation` to their frames, `critical` to that of critical cases and `preference`
    and `judged` to those of pairs and judged answers where there are any, and so with `held-out-` before; `docs` is
    an empty folder.
    """
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    sites: Any = context.variables.data_docs_sites
    unused = sites["local_site"]["store_backend"]["base_directory"]
    context.delete_data_docs_site("local_site")
    shutil.rmtree(unused, ignore_errors=True)
    context.add_data_docs_site("Saqia", _site(docs))
    source = context.data_sources.add_pandas("curated")
    rules: list[Rule] = []
    for name, rows in frames.items():
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("rows")
        rules_of = {"preference": _pair_rules, "judged": _judged_rules}.get(name.removeprefix("held-out-"), _row_rules)
        suites = {f"{name}-rows": rules_of(context_tokens, name in TAUGHT)}
        if name == "training":
            suites["training-set"] = _set_rules(settings, has_labels=bool(rows["label_share"].notna().any()))
        for suite_name, expectations in suites.items():
            suite = context.suites.add(gx.ExpectationSuite(suite_name))
            for rule, expectation in expectations.items():
                expectation.meta = {"rule": rule}
                suite.add_expectation(expectation)
            definition = context.validation_definitions.add(
                gx.ValidationDefinition(name=suite_name, data=batch, suite=suite)
            )
            checkpoint = gx.Checkpoint(
                name=suite_name,
                validation_definitions=[definition],
                result_format={
                    "result_format": "SUMMARY",
                    "partial_unexpected_count": NAMED,
                    "unexpected_index_column_names": ["where", "id"],
                },
            )
            result = context.checkpoints.add(checkpoint).run(
                batch_parameters={"dataframe": rows}, run_id=RunIdentifier(run_name="gate", run_time=EPOCH)
            )
            for validation in result.run_results.values():
                rules += [_outcome(suite_name, found) for found in validation.results]
    context.build_data_docs()
    return sorted(rules, key=lambda rule: (rule.suite, rule.rule))


def _nothing_wrong(column: str, says: str) -> Any:
    """A column of faults is empty."""
    gxe: Any = import_module("great_expectations.expectations")
    return gxe.ExpectColumnValuesToBeNull(column=column, description=says)


def _row_rules(context_tokens: int, training: bool) -> dict[str, Any]:
    """What must hold for each row."""
    gxe: Any = import_module("great_expectations.expectations")
    rules: dict[str, Any] = {
        "columns": gxe.ExpectTableColumnsToMatchOrderedList(
            column_list=list(COLUMNS), description="the derived frame has the columns that the rules speak of"
        ),
        "schema": _nothing_wrong("record", "every line is an Example: JSON with id and messages, the assistant's last"),
        "roles": _nothing_wrong("roles", "system first if at all, then user and assistant in turn, nobody silent"),
        "length": gxe.ExpectColumnValuesToBeBetween(
            column="tokens",
            min_value=1,
            max_value=context_tokens,
            description=f"prompt and answer together fit into the model's context of {context_tokens} tokens",
        ),
        "answer": _nothing_wrong("answer", "the answer is one the task allows: JSON of its schema, a label, or text"),
    }
    if training:
        rules |= {
            "unique ids": gxe.ExpectColumnValuesToBeUnique(column="id", description="no two rows have the same id"),
            "duplicates": _nothing_wrong("duplicate", "no question is taught twice"),
            "overlap": _nothing_wrong("overlap", "no row is a near-duplicate of a row of any evaluation set"),
        }
    return rules


def _pair_rules(context_tokens: int, taught: bool) -> dict[str, Any]:
    """What must hold for each preference pair."""
    gxe: Any = import_module("great_expectations.expectations")
    rules: dict[str, Any] = {
        "pair columns": gxe.ExpectTableColumnsToMatchOrderedList(
            column_list=list(pairs.COLUMNS), description="the derived frame has the columns that the rules speak of"
        ),
        "pair schema": _nothing_wrong("record", "every line is a Preference: JSON with prompt, chosen and rejected"),
        "pair roles": _nothing_wrong("roles", "the prompt is a conversation in which the user spoke last"),
        "pair answers": _nothing_wrong("answer", "the chosen answer is one the task allows, and neither is empty"),
        "pair differs": _nothing_wrong("equal", "chosen and rejected are two answers"),
        "pair contradiction": _nothing_wrong("decided", "no pair prefers what another one rejects"),
        "pair ids": gxe.ExpectColumnValuesToBeUnique(column="id", description="no two pairs have the same id"),
    }
    for answer in ("chosen", "rejected"):
        rules[f"{answer} length"] = gxe.ExpectColumnValuesToBeBetween(
            column=f"{answer}_tokens",
            min_value=1,
            max_value=context_tokens,
            description=f"prompt and {answer} answer together fit into the model's context of {context_tokens} tokens",
        )
    if taught:
        says = "no taught pair's prompt is a near-duplicate of a held-out pair's or of a row of any evaluation set"
        rules["pair overlap"] = _nothing_wrong("overlap", says)
    return rules


def _judged_rules(context_tokens: int, taught: bool) -> dict[str, Any]:
    """What must hold for each judged answer."""
    gxe: Any = import_module("great_expectations.expectations")
    rules: dict[str, Any] = {
        "judged columns": gxe.ExpectTableColumnsToMatchOrderedList(
            column_list=list(judged.COLUMNS), description="the derived frame has the columns that the rules speak of"
        ),
        "judged schema": _nothing_wrong(
            "record", "every line is a Judged: JSON with prompt, answer, and whether it is desirable"
        ),
        "judged roles": _nothing_wrong("roles", "the prompt is a conversation in which the user spoke last"),
        "judged answer": _nothing_wrong("answer", "a desirable answer is one the task allows, and none is empty"),
        "judged contradiction": _nothing_wrong("decided", "no pair or other row says the opposite of the same answer"),
        "judged ids": gxe.ExpectColumnValuesToBeUnique(column="id", description="no two rows have the same id"),
        "judged length": gxe.ExpectColumnValuesToBeBetween(
            column="tokens",
            min_value=1,
            max_value=context_tokens,
            description=f"prompt and answer together fit into the model's context of {context_tokens} tokens",
        ),
    }
    if taught:
        says = "no taught answer's prompt is a near-duplicate of a held-out one's or of a row of any evaluation set"
        rules["judged overlap"] = _nothing_wrong("overlap", says)
    return rules


def _set_rules(settings: QualitySettings, has_labels: bool) -> dict[str, Any]:
    """What must hold for the training set as a whole."""
    gxe: Any = import_module("great_expectations.expectations")

    rules: dict[str, Any] = {
        "enough rows": gxe.ExpectTableRowCountToBeBetween(
            min_value=settings.min_rows, description=f"at least {settings.min_rows} rows are taught"
        ),
        "feedback share": gxe.ExpectColumnMeanToBeBetween(
            column="feedback",
            max_value=settings.max_feedback_share,
            description=f"at most {settings.max_feedback_share:.0%} of the rows are this turn's feedback",
        ),
    }
    if settings.languages:
        rules["language"] = gxe.ExpectColumnMeanToBeBetween(
            column="other_language",
            max_value=settings.max_other_language,
            description=f"at most {settings.max_other_language:.0%} of the rows are in another language than "
            + ", ".join(settings.languages),
        )
    if has_labels:
        rules["label balance"] = gxe.ExpectColumnMaxToBeBetween(
            column="label_share",
            max_value=settings.max_label_share,
            description=f"no label has more than {settings.max_label_share:.0%} of the rows",
        )
    return rules


def _outcome(suite: str, found: Any) -> Rule:
    config, result = found.expectation_config, found.result
    observed = result.get("observed_value")
    column = config.kwargs.get("column")
    rows = tuple(
        {
            "where": row["where"],
            "id": row["id"] if isinstance(row["id"], str) else "",
            "what": str(row[column]).removeprefix(f"{row['where']}: "),
        }
        for row in result.get("partial_unexpected_index_list") or []
    )
    broken = found.exception_info.get("exception_message") if "raised_exception" in found.exception_info else None
    return Rule(
        suite=suite,
        rule=config.meta["rule"],
        says=config.description if not broken else f"{config.description} (could not be checked: {broken})",
        passed=bool(found.success),
        observed=float(observed) if isinstance(observed, (int, float)) or hasattr(observed, "item") else None,
        failures=int(result.get("unexpected_count") or (0 if found.success else 1)),
        rows=rows,
    )


def _site(docs: Path) -> Any:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "show_cta_footer": False},
    }
