"""Who writes the shards: threads of this process, or Apache Beam on a cluster."""

import concurrent.futures
from collections.abc import Iterator, Sequence

from input_pipeline.photos import cores
from vit_sentiment.distillation.written_shard import Shard, write_shard
from vit_sentiment.runtime.errors import UserError

Lost = list[tuple[str, str]]


def run_local(shards: Sequence[Shard], workers: int) -> Iterator[tuple[Shard, Lost]]:
    """Yields shards, in any order, as they are written, and what `write_shard` returned.

    Threads will do: all but a tenth of the work is decoding and encoding, without Python's lock.
    """
    with concurrent.futures.ThreadPoolExecutor(workers or cores()) as pool:
        futures = {pool.submit(write_shard, shard): shard for shard in shards}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def require_beam() -> None:
    """Raises UserError if Apache Beam is not installed."""
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Apache Beam is not installed; pip install -r requirements-beam.txt"
        ) from error


def run_beam(shards: Sequence[Shard], options: list[str]) -> None:
    """Runs `write_shard` on each shard, in a Beam pipeline with these options.

    Raises:
      UserError: Apache Beam is not installed, or does not take the options.
    """
    require_beam()
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        pipeline = beam.Pipeline(options=PipelineOptions(options))
    except ValueError as error:
        text = " ".join(str(error).split())
        raise UserError(f"config.write.beam_options={options}: {text}") from error
    with pipeline:
        (
            pipeline
            | "shards" >> beam.Create(shards)
            | "spread" >> beam.Reshuffle()
            | "write" >> beam.Map(write_shard)
        )
