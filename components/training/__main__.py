"""Stage `train`: data/<task>/curated and models/base → models/<task>/trained, a version."""

from __future__ import annotations

import logging

from components import config, layout, stage, task
from components.files import replacing_folder, write_json
from components.models import load_tokenizer, read_base, tensor_hash

log = logging.getLogger(__name__)


def main(settings: config.Settings) -> None:
    from components.training import launchers

    launchers.run(settings, teach)


def teach(settings: config.Settings) -> None:
    """The whole stage; each process of a launched training does it up to the end of the loop."""
    from components.optimization import launched, loop, optimizers, precision, replicas
    from components.optimization.checkpoints import Checkpoints, digest_of
    from components.training import acceleration, adapters, methods, objectives
    from components.training.lesson import Given, Session
    from components.training.tracking import NoRun, Run
    from components.training.version import golden_examples, write_version

    wanted = settings.train
    adapters.check_machine(wanted.method)
    described = task.load(settings.task)
    objective = objectives.find(wanted.objective)
    inputs = objective.inputs(settings)
    base = read_base(layout.BASE)
    threads = max(1, settings.threads // launched.beside())
    device = loop.prepare(settings.seed, threads, wanted.deterministic)
    tokenizer = load_tokenizer(layout.BASE)
    model = objective.model(settings).to(device)
    rows = min(wanted.batch_size, wanted.micro_batch_size or wanted.batch_size)
    computed_in = precision.decide(wanted.precision, model, rows * settings.model.context, threads)
    in_bfloat16 = computed_in == "bfloat16"
    if in_bfloat16:
        acceleration.prepare(model, wanted)
    has_champion = (layout.CHAMPION / "manifest.json").exists()
    lesson = objective.prepare(Given(settings, described, tokenizer, model, has_champion))
    if wanted.validation_rows and lesson.heldout is None:
        raise stage.StageError(
            f"train.validation_rows: objective {wanted.objective} keeps no rows out; set it to 0, and patience to null"
        )
    if replicas.count() > 1 and not lesson.share:
        raise stage.StageError(
            f"train.launcher: objective {wanted.objective} is taught in one process; set it to local"
        )
    lr = lesson.lr or methods.learning_rate(wanted, model)
    parameters = settings.model_dump(mode="json", include={"task", "seed", "threads", "train", "model", "turn"})
    parameters |= {"computed_in": computed_in, **lesson.made_with}
    checkpoints = Checkpoints(
        digest_of(
            stage="train",
            settings=parameters,
            base=base.sha256,
            champion=tensor_hash(layout.CHAMPION) if has_champion and wanted.start == "champion" else None,
            **{f"rows of {path.name}": path for path in inputs},
        ),
        every=wanted.checkpoint_every,
    )
    earlier = checkpoints.load()
    noted = Run(settings.task, _flat(parameters), run_id=earlier["note"] if earlier else None)
    with noted if replicas.rank() == 0 else NoRun() as run:
        for path in inputs:
            run.log_dataset(path, name=f"{settings.task}-{path.stem}")
        if lesson.fit:
            history = lesson.fit(Session(checkpoints, run.log, run.run_id))
        else:
            assert lesson.batch
            assert lesson.loss
            processes = replicas.among(model, lesson.size, settings.threads) if lesson.share else 1
            methods.checkpoint_activations(model, wanted.gradient_checkpointing)
            plan = loop.Plan(
                section="train",
                steps=lesson.steps,
                warmup=wanted.warmup,
                seed=settings.seed,
                batch=lesson.batch,
                loss=lesson.loss,
                share=lesson.share,
                replicas=processes,
                parts=loop.parts(lesson.size, processes, wanted.micro_batch_size) if lesson.share else 1,
                bfloat16=in_bfloat16,
                heldout=lesson.heldout,
                heldout_every=wanted.validation_every,
                keep_best=lesson.heldout is not None,
                patience=wanted.patience if lesson.heldout else None,
                curves=lesson.curves,
                on_log=run.log,
                note=run.run_id,
            )
            with acceleration.compiled(model, wanted.compile if in_bfloat16 else False):
                history = loop.fit(model, optimizers.adamw(model, lr), plan, checkpoints)
            methods.checkpoint_activations(model, False)
        shown = lesson.metrics(model) if lesson.metrics else {}
        with replacing_folder(layout.trained(settings.task)) as folder:
            manifest = write_version(
                folder,
                model,
                tokenizer,
                described,
                layout.BASE,
                wanted,
                golden_examples(lesson.prompts, wanted.golden_prompts),
                settings.model.context,
                created_by=parameters,
            )
        metrics = {
            **loop.summary(history),
            "examples": lesson.rows,
            "lr": lr,
            "trainable_share": round(methods.trainable_share(model), 5),
            **shown,
        }
        run.log(len(history.losses), {f"final_{name}": float(value) for name, value in metrics.items()})
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
