"""Builder of `distilled_tweets`: what `distill` writes and a student reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from input_pipeline.builder import RecordBuilder
from input_pipeline.records import Record


class DistilledTweets(RecordBuilder):
    """Photos of tweets under the labels that a text teacher gave to the tweets.

    Texts are left behind. `human_label`, where there is one, is for evaluation alone.
    """

    def __init__(
        self, *, splits: Mapping[str, tuple[int, Callable[[], Iterator[Record]]]], **kwargs
    ) -> None:
        """Takes the number of records and a function that yields them, for each split."""
        self._splits = splits
        super().__init__(**kwargs)

    def splits_to_write(self) -> Sequence[str]:
        return list(self._splits)

    def count(self, split: str) -> int:
        return self._splits[split][0]

    def records(self, split: str) -> Iterator[Record]:
        return self._splits[split][1]()
