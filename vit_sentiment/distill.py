"""From tweets to a dataset; see `vit_sentiment.commands.distill_tweets` and its neighbours."""

from vit_sentiment.runtime import startup

COMMANDS = {
    "": "vit_sentiment.commands.distill_tweets",
    "teacher": "vit_sentiment.commands.distill_teacher",
    "ids": "vit_sentiment.commands.distill_ids",
    "purge": "vit_sentiment.commands.distill_purge",
    "rehydrate": "vit_sentiment.commands.distill_rehydrate",
}

if __name__ == "__main__":
    startup.run_command(COMMANDS)
