"""Studies what makes a student good, over several seeds.

python -m vit_sentiment.study noise --help
    compares ways of learning from a noisy text teacher on drawn tweets
python -m vit_sentiment.study matrix --help
    estimates how noisy a teacher's labels are
"""

from vit_sentiment.runtime import startup

COMMANDS = {
    "noise": "vit_sentiment.commands.study_noise",
    "matrix": "vit_sentiment.commands.study_matrix",
}

if __name__ == "__main__":
    startup.run_command(COMMANDS, __doc__)
