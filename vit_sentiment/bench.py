"""Measures speed beside another implementation, in turn on the same machine.

python -m vit_sentiment.bench teacher --help
"""

from vit_sentiment.runtime import startup

COMMANDS = {"teacher": "vit_sentiment.commands.bench_teacher"}

if __name__ == "__main__":
    startup.run_command(COMMANDS, __doc__)
