"""From a config to what the stages of `distill` take, checked before any work is done."""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from vit_sentiment.distillation import (
    balance,
    clusters,
    crawl_filter,
    duplicates,
    fetch,
    leaks,
    merging,
    pipeline,
    runners,
    teachers,
    thresholds,
    writing,
)
from vit_sentiment.runtime.errors import UserError

_BATCH = 64
"""Photos of a forward pass."""
_MOST_SEED = (1 << 32) - 1
"""Of NumPy's RandomState, which scikit-learn splits with."""


def stages(config: ConfigDict, hints: Mapping[str, Any]) -> pipeline.Settings:
    """The settings of all stages but the writing.

    Args:
      config: as in configs/distill.py.
      hints: what the weights of `config.duplicates.model` cannot tell, see `weight_flags`.

    Raises:
      UserError: a value makes no sense; a teacher, model, benchmark or dataset is not there.
    """
    teacher = config.teacher
    if (teacher.name == "table") != bool(teacher.table):
        raise UserError("config.teacher.name=table and config.teacher.table=FILE go together")
    if teacher.table and not pathlib.Path(teacher.table).exists():
        raise UserError(f"config.teacher.table: {teacher.table}: no such file or folder")
    _one_of(config, "split.by", ("group", "photo"))
    _one_of(config, "merge.how", ("own", "original"))
    if config.merge.how == "original" and not config.merge.sources:
        raise UserError(
            "config.merge.how=original, as in configs/distill.py:merged, has nothing to add: give "
            "the folders of datasets, --config.merge.sources='(\"FOLDER\",)'"
        )
    _at_least(config, "teacher.max_tokens", 3)
    _at_least(config, "teacher.shard_rows", 1)
    _at_least(config, "filter.min_words", 0)
    if not 0 <= config.seed <= _MOST_SEED:
        raise UserError(f"config.seed: expected 0 to {_MOST_SEED}, found {config.seed}")
    for field in ("leaks.of", "merge.sources"):
        _texts(config, field)
    balance.parse(config.balance)
    return pipeline.Settings(
        seed=config.seed,
        fetch=_fetch(config) if config.fetch.enabled else None,
        rules=crawl_filter.Rules(**config.filter),
        thresholds=thresholds.parse(config.thresholds),
        balance=config.balance,
        split_by=config.split.by,
        merge=merging.open_all(config.merge.sources),
        merge_how=config.merge.how,
        duplicates=_duplicates(config, hints),
        teacher_table=teacher.table,
        shard_rows=teacher.shard_rows,
        teacher=None if teacher.table else _teacher(config),
    )


def write(config: ConfigDict) -> writing.Settings:
    """The settings of the writing.

    Raises:
      UserError: a value makes no sense; Apache Beam is wanted and not installed.
    """
    o = config.write
    _one_of(config, "write.runner", ("local", "beam"))
    _texts(config, "write.beam_options")
    if o.runner == "beam":
        runners.require_beam()
    for name, least in (("short_side", 0), ("shard_photos", 1), ("workers", 0)):
        _at_least(config, f"write.{name}", least)
    if not 1 <= o.quality <= 100:
        raise UserError(f"config.write.quality: expected 1 to 100, found {o.quality}")
    return writing.Settings(
        short_side=o.short_side,
        quality=o.quality,
        shard_photos=o.shard_photos,
        workers=o.workers,
    )


def _teacher(config: ConfigDict) -> teachers.Teacher:
    o = config.teacher
    _one_of(config, "teacher.name", ("vader", "roberta", "table"))
    if not (math.isfinite(o.sharpness) and o.sharpness >= 0.1):
        raise UserError(f"config.teacher.sharpness: expected at least 0.1, found {o.sharpness}")
    return teachers.make_teacher(
        o.name, model=o.model, max_tokens=o.max_tokens, sharpness=o.sharpness
    )


def _fetch(config: ConfigDict) -> fetch.Settings:
    values = {name: value for name, value in config.fetch.items() if name != "enabled"}
    return fetch.Settings(**values)


def _duplicates(config: ConfigDict, hints: Mapping[str, Any]) -> duplicates.Settings:
    o = config.duplicates
    _one_of(config, "duplicates.method", ("hash", "embedding", "original", "none"))
    _one_of(config, "duplicates.contradictions", clusters.CONTRADICTIONS)
    if not 0 <= o.distance <= 8:
        raise UserError(f"config.duplicates.distance: expected 0 to 8 bits, found {o.distance}")
    if not (math.isfinite(o.cosine) and 0 < o.cosine <= 1):
        raise UserError(
            f"config.duplicates.cosine: expected a number above 0 and up to 1, found {o.cosine}"
        )
    wanted = o.method in ("embedding", "original")
    if wanted != bool(o.model):
        raise UserError(
            "config.duplicates.model goes with config.duplicates.method=embedding or original, "
            f"found method {o.method!r} and model {o.model!r}"
        )
    merged = config.merge.sources if config.merge.how == "own" else ()
    sources = leaks.open_all([*config.leaks.of, *merged], config.leaks.root)
    facts = {**o.to_dict(), "leaks": [[s.name, s.split, s.fingerprint] for s in sources]}
    model, model_facts = _features(o.model, hints) if wanted else (None, {})
    return duplicates.Settings(
        method=o.method,
        distance=o.distance,
        cosine=o.cosine,
        contradictions=o.contradictions,
        leaks=sources,
        features=model,
        facts=facts | model_facts,
    )


def _features(name: str, hints: Mapping[str, Any]) -> tuple[Callable, dict[str, str]]:
    """A function that computes the features of photos, or reads them from the cache."""
    import jax

    from vit_sentiment.distillation.embeddings import source_of
    from vit_sentiment.inference.features import cached_features, default_cache
    from vit_sentiment.inference.model import load
    from vit_sentiment.runtime import accelerator

    accelerator.prepare()
    model = load(name, **hints)
    devices = jax.local_device_count()
    batch_size = -(-_BATCH // devices) * devices

    def features(table, files):
        source = source_of(table, files)
        found = cached_features(
            model, source, default_cache(), batch_size=batch_size, on_error="skip"
        )
        return found.values

    return features, {"model_id": model.model_id}


def _one_of(config: ConfigDict, field: str, values: Sequence[str]) -> None:
    found = _value(config, field)
    if found not in values:
        raise UserError(f"config.{field}: expected one of {', '.join(values)}; found {found!r}")


def _texts(config: ConfigDict, field: str) -> None:
    found = _value(config, field)
    if not all(isinstance(value, str) for value in found):
        raise UserError(f"config.{field}: expected texts as in ('A', 'B'), found {found!r}")


def _at_least(config: ConfigDict, field: str, least: float) -> None:
    found = _value(config, field)
    if not found >= least:
        raise UserError(f"config.{field}: expected at least {least}, found {found}")


def _value(config: ConfigDict, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config
