"""Answers as the peer of `bench teacher` does, without computing: 2 s sorted, 4 s unsorted.

Each keeps two cores busy.
"""

import json
import sys

count = 0
for line in sys.stdin:
    word, *arguments = line.rstrip("\n").split("\t")
    if word == "load":
        with open(arguments[1]) as file:
            count = len(json.load(file))
        answer = json.dumps({"torch": "1.2.3"})
    elif word == "probs":
        with open(arguments[0], "w") as file:
            json.dump([[0.25, 0.25, 0.5]] * count, file)
        answer = "written"
    else:
        answer = {"sorted": "2.0\t4.0", "unsorted": "4.0\t8.0"}[word]
    print(answer, flush=True)
