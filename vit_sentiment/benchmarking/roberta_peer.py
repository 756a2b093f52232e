"""The other side of `bench teacher`: transformers' RoBERTa on PyTorch, as a process of its own.

It is run by a Python that has torch and transformers; nothing of this project is imported. Lines on
stdin are requests, lines on stdout the answers:

  make FOLDER   write random weights for FOLDER/config.json; answers `made`
  load FOLDER TEXTS   read model, tokeniser and the JSON list of texts; answers versions as JSON
  sorted | unsorted   label all texts in batches of 32, padded to their longest; answers
      seconds, and seconds of all cores together
  probs FILE   write the probabilities of all texts, in order, as JSON; answers `written`
"""

import json
import sys
import time
from typing import Any

import torch
import transformers

BATCH = 32
MAX_TOKENS = 128


def make(folder: str) -> None:
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)


@torch.inference_mode()
def label(model: Any, tokenizer: Any, texts: list[str], by_length: bool) -> list[list[float]]:
    encoded = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    order = list(range(len(texts)))
    if by_length:
        order.sort(key=lambda i: len(encoded[i]))
    probs = [None] * len(texts)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = tokenizer.pad({"input_ids": [encoded[i] for i in rows]}, return_tensors="pt")
        found = model(**batch).logits.softmax(-1).tolist()
        for i, row in zip(rows, found, strict=True):
            probs[i] = row
    return probs


def main() -> None:
    transformers.logging.set_verbosity_error()
    model = tokenizer = texts = None
    for line in sys.stdin:
        word, *arguments = line.rstrip("\n").split("\t")
        if word == "make":
            make(*arguments)
            answer = "made"
        elif word == "load":
            folder, file = arguments
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
            with open(file, encoding="utf-8") as content:
                texts = json.load(content)
            versions = {"torch": torch.__version__, "transformers": transformers.__version__}
            versions |= {"threads": torch.get_num_threads()}
            answer = json.dumps(versions)
        elif word == "probs":
            with open(*arguments, "w", encoding="utf-8") as file:
                json.dump(label(model, tokenizer, texts, True), file)
            answer = "written"
        else:
            start, used = time.perf_counter(), time.process_time()
            label(model, tokenizer, texts, word == "sorted")
            answer = f"{time.perf_counter() - start}\t{time.process_time() - used}"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
