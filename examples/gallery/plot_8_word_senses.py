"""
Senses of words
===============

Sparse word vectors whose dimensions can be read, the sense of a word where it stands, and a classifier that can be
explained in words. No encoder and no labels are needed to learn the senses.
"""

# %%
# Texts in which words have several senses
# ----------------------------------------
# A real corpus has some megabytes; learning from 8 MB takes about half a minute. Here, texts are generated, so that the
# right answer is known: each has words of one subject, and some words belong to several subjects.

import numpy as np

subjects = {
    "money": "bank charge note interest loan account pay price cash credit branch market",
    "river": "bank current water fish flood boat bridge stream shore deep swim branch",
    "power": "charge current plant battery cable grid voltage energy meter switch light station",
    "garden": "plant tree leaf branch flower soil water seed grow green spring light",
    "music": "note string song piano play band chord voice sound stage light spring",
    "court": "charge judge law trial guilty police crime lawyer case evidence prison witness",
}
rng = np.random.default_rng(0)
glue = "the a of and in to is was for with".split()


def text(subject):
    words = rng.choice(subjects[subject].split(), 12)
    return " ".join(word for pair in zip(rng.choice(glue, 12), words, strict=True) for word in pair)


texts = [text(subject) for subject in subjects for _ in range(300)]
print(texts[0])

# %%
# Senses
# ------
# Each sense is a distribution over words, so its most frequent words say what it is.

from skbert import Word2Sense

model = Word2Sense(n_topics=6, random_state=0).fit(texts)
for k in range(model.n_senses_):
    print(k, " ".join(model.sense_words(k, 8)))

# %%
# The vector of a word says in which senses it is used, and how much more often than by chance.

from skbert.plots import SensesDisplay

senses = SensesDisplay.from_estimator(model, "charge")

# %%
# A word in its contexts
# ----------------------
# The words around a target decide between its senses. The report says how near each result is to the maximum.

sentences = [
    "they charge a high price for cash from another account",
    "the judge read the charge and called a witness",
    "the battery lost its charge and the cable was hot",
    "no charge for a lawyer, and no price for the trial",
]
contexts = [(sentence, sentence.index("charge"), sentence.index("charge") + 6) for sentence in sentences]
vectors, report = model.contextualize(contexts, return_report=True)
print(f"{report.n_iter.max()} steps, at most {report.gap.max():.1g} nats under the maximum")

display = SensesDisplay("charge", model.senses_of("charge", 4), contexts=vectors.toarray(), labels=sentences)
in_contexts = display.plot_contexts()

# %%
# `induce_senses` gives the main sense of each occurrence.

print(model.induce_senses("charge", sentences))

# %%
# Features of texts
# -----------------
# :class:`~skbert.SenseVectorizer` is the mean of the word vectors of a text. A linear model over it can be explained:
# each weight belongs to a sense, and its name has the words of the sense. Senses need no labels, so they are learned
# from all messages here, and the classifier from 180 of them. Any function can be the tokenizer; this one leaves out
# words such as "the", which would be among the most frequent words of every sense of a small corpus.

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from skbert import SenseVectorizer
from skbert.datasets import load_helpdesk

X, y = load_helpdesk(return_X_y=True)
tokenizer = CountVectorizer(stop_words="english").build_analyzer()
helpdesk = Word2Sense(n_topics=20, min_count=5, window=20, tokenizer=tokenizer, random_state=0).fit(X)
vectorizer = SenseVectorizer(word2sense=FrozenEstimator(helpdesk))
pipeline = make_pipeline(vectorizer, LogisticRegression(C=10)).fit(X[:180], y[:180])
names = vectorizer.fit(X).get_feature_names_out()
for label, weights in zip(pipeline[-1].classes_, pipeline[-1].coef_, strict=True):
    print(f"{label:16} {names[weights.argmax()]}")

# %%
# They can stand beside other features. One split of few texts decides nothing, but such a comparison takes a moment.

candidates = {"words": TfidfVectorizer(), "senses": vectorizer, "both": make_union(TfidfVectorizer(), vectorizer)}
for name, features in candidates.items():
    score = make_pipeline(features, LogisticRegression(C=10)).fit(X[:180], y[:180]).score(X[180:], y[180:])
    print(f"{name:7} {score:.3f}")
