"""Commands of verbs that have several: `python -m vit_sentiment.VERB COMMAND`."""
