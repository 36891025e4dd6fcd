"""Which layers matter for which kind of question?

Fine-tunes MiniLM on labelled texts, and replaces every span of consecutive layers by the identity on held-out texts
(Kiyuna, Oka and Komachi 2022). Shows what each label loses, whether the falls differ between labels more than by
chance, and what you cannot conclude.

    python examples/skip_layers.py --train trec6_train.tsv --test trec6_test.tsv

Both files have the columns `text` and `label`. Without files, the helpdesk texts of the package are split in two.
"""

import argparse
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from skbert import MaxPoolBERTClassifier, SkipLayerProbe
from skbert.datasets import load_helpdesk
from skbert.plots import SkipLayerDisplay


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, help="TSV with the columns text and label")
    parser.add_argument("--test", type=Path, help="the same, with texts that are not in --train")
    parser.add_argument("--n-train", type=int, default=1000, help="number of training texts, stratified")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("skip-layers"), help="folder for figures and table")
    return parser.parse_args()


def read(path):
    frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=3)
    return frame["text"].tolist(), frame["label"].to_numpy()


def load(options):
    if options.train is None:
        X, y = load_helpdesk(return_X_y=True)
        return train_test_split(list(X), y, train_size=0.5, stratify=y, random_state=options.seed)
    if options.test is None:
        raise SystemExit("--train needs --test: the probe must see texts that the model was not trained on.")
    (X, y), (X_test, y_test) = read(options.train), read(options.test)
    return X, X_test, y, y_test


def main():
    options = parse()
    X, X_test, y, y_test = load(options)
    if options.n_train < len(X):
        X, _, y, _ = train_test_split(X, y, train_size=options.n_train, stratify=y, random_state=options.seed)
    clf = MaxPoolBERTClassifier(
        "minilm",
        layers=1,
        token_pooling="cls",
        learning_rate=options.learning_rate,
        max_epochs=options.epochs,
        random_state=options.seed,
        verbose=1,
    ).fit(X, y)

    probe = SkipLayerProbe(clf, cv="prefit", random_state=options.seed, verbose=1).fit(X_test, y_test)
    print(
        f"Fine-tuned on {len(X)} texts, probed on {len(X_test)}; accuracy of the full model {probe.baseline_score_:.3f}"
    )
    print("Recall of each label by the full model:")
    for label, recall, n in zip(probe.classes_, probe.label_baseline_, probe.label_counts_, strict=True):
        print(f"  {label:14} {recall:.3f}  (n = {n})")
    print(f"Spans with which one class is predicted for all: {probe.constant_.sum()} of {len(probe.constant_)}")
    test = probe.pattern_test_
    print(f"Do falls differ by label more than by chance? W*d {test.statistic:.2f}, p = {test.pvalue:.4f}")
    print("A label that is only harder gives this, too; see the recall of each label above.")
    print("Most important layer of each label (fall of the gold log-probability per skipped layer, nats):")
    for label, row in zip(probe.classes_, probe.layer_importance_, strict=True):
        print(f"  {label:14} layer {row.argmax()}  " + " ".join(f"{value:6.2f}" for value in row))
    clusters = probe.signature_clusters(len(probe.classes_))
    print(f"Clusters of signatures against gold labels: AMI {clusters.agreement:.3f}, p = {clusters.pvalue:.4f}")
    errors = probe.error_analysis()
    print(
        f"Wrong predictions ({errors.n_wrong} of {errors.n_samples}): AUC of the signature {errors.auc:.3f}, "
        f"of the model's own confidence {errors.confidence_auc:.3f}"
    )
    # Damaged models predict few classes. A label that they predict often keeps its recall for this reason alone.
    share = pd.Series(probe.predictions_[~probe.constant_].ravel()).value_counts(normalize=True)
    print("What is predicted when layers are missing:", ", ".join(f"{k} {v:.0%}" for k, v in share.items()))

    options.output.mkdir(parents=True, exist_ok=True)
    probe.to_frame().to_csv(options.output / "skip_layers.csv", index=False)
    title = f"Change of recall on {len(X_test)} held-out texts when layers are skipped"
    display = SkipLayerDisplay.from_estimator(probe, title=title)
    display.figure_.savefig(options.output / "triangles.png", dpi=120)
    display.plot_importance(title="What one skipped layer costs").figure_.savefig(
        options.output / "importance.png", dpi=120
    )
    print(f"Figures and table are in {options.output}/")


if __name__ == "__main__":
    main()
