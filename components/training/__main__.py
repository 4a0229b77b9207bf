"""Stage `train`: data/<task>/curated and models/base → models/<task>/adapter, a version."""

from __future__ import annotations

import logging

from components import config, layout, stage, task
from components.files import read_rows, replacing_folder, write_json
from components.models import load_tokenizer, read_base, tensor_hash
from components.schema import Example

log = logging.getLogger(__name__)


def main(settings: config.Settings) -> None:
    from components.cores import processes
    from components.optimization import loop, optimizers
    from components.optimization.checkpoints import Checkpoints, digest_of
    from components.training import methods
    from components.training.batches import Batches, encode, share
    from components.training.completion import completion_loss, head_is_separable
    from components.training.mixture import mixed
    from components.training.tracking import Run
    from components.training.version import golden_examples, write_version

    wanted = settings.train
    described = task.load(settings.task)
    curated = layout.curated(settings.task)
    examples = read_rows(curated / "train.jsonl", Example)
    base = read_base(layout.BASE)
    device = loop.prepare(settings.seed, settings.threads)
    tokenizer = load_tokenizer(layout.BASE)
    encoded = encode(tokenizer, mixed(examples, wanted.feedback_share), settings.model.context)
    model = methods.prepare_model(settings, layout.BASE, layout.CHAMPION).to(device)
    assert isinstance(tokenizer.pad_token_id, int)
    batches = Batches(encoded, wanted.batch_size, settings.seed, tokenizer.pad_token_id)
    fast = head_is_separable(model, batches.step(0))
    parameters = settings.model_dump(mode="json", include={"task", "seed", "threads", "train", "model", "turn"})
    has_champion = (layout.CHAMPION / "manifest.json").exists()
    taught = settings.model.base == "local" and settings.corpus.task == settings.task
    steps = wanted.first_steps or wanted.steps if taught and not has_champion else wanted.steps
    checkpoints = Checkpoints(
        digest_of(
            stage="train",
            settings=parameters,
            examples=curated / "train.jsonl",
            base=base.sha256,
            champion=tensor_hash(layout.CHAMPION) if has_champion and wanted.start == "champion" else None,
        ),
        every=wanted.checkpoint_every,
    )
    earlier = checkpoints.load()
    with Run(settings.task, _flat(parameters), run_id=earlier["note"] if earlier else None) as run:
        run.log_dataset(curated / "train.jsonl", rows=len(examples), name=f"{settings.task}-train")
        history = loop.fit(
            model,
            optimizers.adamw(model, wanted.lr),
            loop.Plan(
                section="train",
                steps=steps,
                warmup=wanted.warmup,
                seed=settings.seed,
                batch=batches.step,
                loss=lambda trained, batch: completion_loss(trained, batch, fast),
                share=share,
                replicas=processes(model, batches.size, settings.threads),
                on_log=run.log,
                note=run.run_id,
            ),
            checkpoints,
        )
        with replacing_folder(layout.adapter(settings.task)) as folder:
            manifest = write_version(
                folder,
                model,
                tokenizer,
                described,
                base,
                wanted,
                golden_examples(examples, wanted.golden_prompts),
                settings.model.context,
                created_by=parameters,
            )
        metrics = {
            **loop.summary(history),
            "examples": len(examples),
            "trainable_share": round(methods.trainable_share(model), 5),
        }
        run.log(steps, {f"final_{name}": float(value) for name, value in metrics.items()})
    report = layout.training(settings.task)
    loop.write_losses(report / "loss.csv", history)
    write_json(report / "metrics.json", {**metrics, "mlflow_run": run.run_id})
    checkpoints.remove()
    log.info("version written: weights %s, loss %.4f", manifest.adapter_sha256[:12], metrics["loss"])


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings as dotted keys, as MLflow shows parameters."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


if __name__ == "__main__":
    stage.run(main)
