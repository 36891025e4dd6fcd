"""How fast are mean-pooled features, against transformers and sentence-transformers on the same weights?

python -m benchmarks.features
"""

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from benchmarks._common import alternate, parse, report, texts_and_labels
from skbert import LayerPoolFeaturizer
from skbert.encoder._load import _minilm_folder


def main():
    options = parse(__doc__)
    texts, _ = texts_and_labels(options)
    folder = str(_minilm_folder())
    featurizers = {
        name: LayerPoolFeaturizer("minilm", normalize=True, precision=precision).fit(texts[:1])
        for name, precision in (("skbert fp32", "fp32"), ("skbert bf16", "bf16"))
    }
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def padded():
        rows = []
        for start in range(0, len(texts), 32):
            batch = tokenizer(texts[start : start + 32], padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state
            keep = batch["attention_mask"][..., None]
            rows.append(torch.nn.functional.normalize((hidden * keep).sum(1) / keep.sum(1)))
        return torch.cat(rows).numpy()

    candidates = {"transformers, batch 32, padded": padded}
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        print("sentence-transformers is not installed and is left out")
    else:
        sentence = SentenceTransformer(folder, device="cpu")
        sentence.max_seq_length = 512
        candidates["sentence-transformers encode, batch 32"] = lambda: sentence.encode(
            texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False
        )
    candidates |= {name: (lambda f=f: f.transform(texts)) for name, f in featurizers.items()}
    expected = padded()
    for name, run in candidates.items():
        print(f"  largest difference of {name} from transformers: {np.abs(run() - expected).max():.1e}")
    reference = "sentence-transformers encode, batch 32"
    if reference not in candidates:
        reference = "transformers, batch 32, padded"
    report(f"features: {len(texts)} texts", alternate(candidates, options.repeats), reference, options.output)


if __name__ == "__main__":
    main()
