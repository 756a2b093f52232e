"""Measures speed, memory and exactness on this machine; of the teacher beside another program.

python -m vit_sentiment.bench teacher --help
python -m vit_sentiment.bench distill --help
python -m vit_sentiment.bench serve --help
"""

from vit_sentiment.runtime import startup

COMMANDS = {
    "teacher": "vit_sentiment.commands.bench_teacher",
    "distill": "vit_sentiment.commands.bench_distill",
    "serve": "vit_sentiment.commands.bench_serve",
}

if __name__ == "__main__":
    startup.run_command(COMMANDS, __doc__)
