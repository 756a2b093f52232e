"""Studies what makes a student good, over several seeds.

python -m vit_sentiment.study noise --help
"""

from vit_sentiment.runtime import startup

COMMANDS = {"noise": "vit_sentiment.commands.study_noise"}

if __name__ == "__main__":
    startup.run_command(COMMANDS, __doc__)
