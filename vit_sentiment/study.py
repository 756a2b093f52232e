"""Studies what makes a student good, over several seeds.

python -m vit_sentiment.study noise --out=runs/noise
python -m vit_sentiment.study matrix --workdir=runs/tweets --data=runs/data/tweets
"""

from vit_sentiment.runtime import startup

COMMANDS = {
    "noise": "vit_sentiment.commands.study_noise",
    "matrix": "vit_sentiment.commands.study_matrix",
}

if __name__ == "__main__":
    startup.run_command(COMMANDS, __doc__)
