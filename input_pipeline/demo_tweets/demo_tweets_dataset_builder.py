"""Builder of `demo_tweets`: drawn faces with a tweet each, so that the whole job runs anywhere."""

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.builder import RecordBuilder
from input_pipeline.demo_tweets.drawing import NOISE, draw_tweets
from input_pipeline.records import CLASSES, Record, no_teacher


@dataclasses.dataclass(eq=False)
class DemoTweetsConfig(tfds.core.BuilderConfig):
    """How many tweets, from which seed.

    Attributes:
      count: number of tweets.
      seed: the tweets are a function of it.
      size: side of the photos in pixels.
      noise: share of the texts whose mood is drawn anew, without a look at the face.
      confusion: instead of it, rows of P(mood of the text | mood of the face); empty: none.
      shuffle_texts: the control: texts are permuted against photos, so there is nothing to learn.
    """

    count: int = 1000
    seed: int = 0
    size: int = 32
    noise: float = NOISE
    confusion: tuple[tuple[float, ...], ...] = ()
    shuffle_texts: bool = False


class DemoTweets(RecordBuilder):
    """Drawn smiling, flat and frowning faces, whose texts name another mood now and then.

    `human_label` is the drawn mood; there is no teacher label until `distill` adds one.
    """

    WITH_TEXT = True

    def splits_to_write(self) -> Sequence[str]:
        return ["tweets"]

    def count(self, split: str) -> int:
        return self.builder_config.count

    def records(self, split: str) -> Iterator[Record]:
        config = self.builder_config
        tweets = draw_tweets(
            config.count,
            seed=config.seed,
            size=config.size,
            text_noise=config.noise,
            confusion=np.array(config.confusion) if config.confusion else None,
            shuffle_texts=config.shuffle_texts,
        )
        for tweet in tweets:
            bgr = cv2.cvtColor(tweet.image, cv2.COLOR_RGB2BGR)
            yield Record(
                image=cv2.imencode(".png", bgr)[1].tobytes(),
                id=f"{tweet.id}-0",
                group=tweet.id,
                teacher_probs=no_teacher(len(CLASSES)),
                human_label=tweet.mood,
                text=tweet.text,
            )
