"""Train SetFit on request: one JSON object a line on stdin, one a line on stdout.

Runs under the interpreter of another environment, so it imports nothing of skbert. A request has `model` (a folder),
`texts` and `test_texts` (each a text, or a list of two), `labels` (from 0), `seed`, `iterations` (None: the default of
SetFit), `threads` and `device`. The answer has `predicted` and `cpu_seconds`: those of the fit over all threads, from
texts and labels to a model, without imports and without reading the weights from disk.
"""

import json
import os
import sys
import tempfile
import time

import torch
from datasets import Dataset, disable_progress_bars
from setfit import SetFitModel, Trainer, TrainingArguments


def joined(texts, separator):
    """SetFit takes single texts: the two of a pair are joined."""
    return [text if isinstance(text, str) else separator.join(text) for text in texts]


def run(request):
    torch.set_num_threads(request["threads"])
    model = SetFitModel.from_pretrained(request["model"], device=request["device"])
    # "[SEP]" in a text becomes the token that an encoder of the BERT family expects between the texts of a pair.
    token = model.model_body.tokenizer.sep_token
    separator = " " if token is None else f" {token} "
    texts, test_texts = (joined(request[name], separator) for name in ("texts", "test_texts"))
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        # What is set besides seed and iterations is no part of the training: no checkpoints, no reports, no bars.
        arguments = TrainingArguments(
            output_dir=folder,
            seed=request["seed"],
            num_iterations=request["iterations"],
            save_strategy="no",
            report_to="none",
            show_progress_bar=False,
        )
        data = Dataset.from_dict({"text": texts, "label": request["labels"]})
        Trainer(model=model, args=arguments, train_dataset=data).train()
        seconds = time.process_time() - began
    predicted = model.predict(test_texts, as_numpy=True, show_progress_bar=False)
    return {"predicted": [int(code) for code in predicted], "cpu_seconds": seconds}


def main():
    # SetFit prints to stdout; only answers may go there.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    disable_progress_bars()
    warm = False
    for line in sys.stdin:
        request = json.loads(line)
        if not warm:
            # The first fit of a process also imports modules and starts libraries, which is not its cost.
            run(
                {**request, "texts": ["a", "b", "c", "d"], "labels": [0, 1, 0, 1], "test_texts": ["a"], "iterations": 1}
            )
            warm = True
        answers.write(json.dumps(run(request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
