"""Measures speed, memory and exactness on this machine, beside other programs where there are any.

python -m vit_sentiment.bench distill --parts=hashes,tables --scale=0.1
python -m vit_sentiment.bench teacher --tweets=texts.txt --peer_python=PEER/bin/python
"""

from vit_sentiment.runtime import startup

COMMANDS = {
    "teacher": "vit_sentiment.commands.bench_teacher",
    "distill": "vit_sentiment.commands.bench_distill",
    "infer": "vit_sentiment.commands.bench_infer",
    "predict": "vit_sentiment.commands.bench_predict",
    "serve": "vit_sentiment.commands.bench_serve",
}

if __name__ == "__main__":
    startup.run_command(COMMANDS, __doc__)
