"""Description of `distilled_tweets`, which `vit_sentiment.distillation.writing` writes."""

from input_pipeline.builder import RecordBuilder


class DistilledTweets(RecordBuilder):
    """Photos of tweets under the labels that a text teacher gave to the tweets.

    Texts are left behind. `human_label`, where there is one, is for evaluation alone.
    """
