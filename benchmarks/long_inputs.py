"""How much memory does `skbert features` need for a million short texts, and how long does it take?

python -m benchmarks.long_inputs [--long-texts 1000000] [--minilm-texts 20000]

The texts have 8 tokens each. The million goes through a small random encoder, whose arithmetic costs little, so that it
is what reads, cuts into tokens and writes that is measured. MiniLM gets fewer texts; its time for a million is
extrapolated, and the table says so. The command runs in a process of its own, as a user calls it; the peak is that of
resident memory, in which everything is: Python, the libraries, the weights.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks._main import run
from benchmarks._options import parse
from benchmarks._table import Line
from benchmarks.memory import resident

_TARGET = 1.5
_TOKENS = 8
_MILLION = 1_000_000
_KINDS = ("npy", "parquet", "csv")


def add_options(parser):
    parser.add_argument("--long-texts", type=int, default=_MILLION, help="number of texts for the small encoder")
    parser.add_argument("--minilm-texts", type=int, default=20_000, help="number of texts for MiniLM")


def lines(options):
    many, few = options.long_texts, options.minilm_texts
    if options.quick:
        many, few = min(many, 2000), min(few, 500)
    if not Path("/proc/self/status").exists():
        what = f"{many:,} texts of {_TOKENS} tokens through `skbert features`"
        yield Line(what, "peak memory", "GiB", _TARGET, None, "needs Linux, where /proc reports the peak of a process")
        return
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        small = write_small_encoder(folder / "encoder")
        table = write_texts(folder / "texts.csv", many)
        for kind in _KINDS:
            yield _line(f"a random encoder of 2 layers, width 32, to .{kind}", many, _TARGET, table, small, kind)
        table = write_texts(folder / "texts.csv", few)
        for precision in ("fp32", "bf16"):
            yield _line(f"MiniLM, {precision}, to .npy", few, _TARGET, table, "minilm", "npy", "--precision", precision)


def write_small_encoder(folder):
    """A BERT with random weights and the tokenizer of MiniLM."""
    import torch
    from transformers import BertConfig, BertModel

    from skbert.encoder import load_encoder

    tokenizer = load_encoder("minilm", None).tokenizer
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def write_texts(path, n, seed=0):
    """A table of `n` texts of 8 tokens, [CLS] and [SEP] included: random words that are one token each."""
    from skbert.datasets import load_helpdesk
    from skbert.encoder import load_encoder

    tokenizer = load_encoder("minilm", None).tokenizer
    words = sorted({word for message in load_helpdesk().data for word in message.split() if word.isalpha()})
    lengths = map(len, tokenizer(words, add_special_tokens=False)["input_ids"])
    words = np.array([word for word, length in zip(words, lengths, strict=True) if length == 1])
    rng = np.random.default_rng(seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write("text\n")
        for start in range(0, n, 10_000):
            drawn = words[rng.integers(len(words), size=(min(10_000, n - start), _TOKENS - 2))]
            file.writelines(" ".join(row) + "\n" for row in drawn)
    return path


def _line(what, n_texts, target, table, model, kind, *more):
    out = table.with_name(f"features.{kind}")
    words = ["features", str(table), "--model", model, "--output", str(out), *more]
    command = [sys.executable, "-m", "benchmarks.long_inputs", "--measure", *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    rate = n_texts / found["seconds"]
    detail = f"{found['seconds']:.0f} s, {rate:,.0f} texts/s; {out.stat().st_size / 2**20:,.0f} MiB of features"
    if n_texts < _MILLION:
        detail += f"; a million would take {_MILLION / rate / 60:.0f} minutes (extrapolated)"
    out.unlink()
    name = f"{n_texts:,} texts of {_TOKENS} tokens through `skbert features`, {what}"
    return Line(name, "peak memory of the process", "GiB", target, found["peak"] / 2**30, detail)


def _measure(words):
    """The work of the separate process: the command, and its seconds (after the imports) and peak as JSON."""
    from skbert.cli import main

    sys.argv = ["skbert", *words]
    start = time.perf_counter()
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": resident("VmHWM")}))


if __name__ == "__main__":
    if "--measure" in sys.argv:
        _measure(sys.argv[sys.argv.index("--measure") + 1 :])
    else:
        run([lines], parse(__doc__, add_options))
