"""`python -m data.dilemmas [FILE]`: what a corpus of dilemmas holds, and pairs that tell nearly the same story."""

from __future__ import annotations

import sys
from pathlib import Path

from data.dilemmas.corpus import balance, corpus_hash, load_dilemmas, near_duplicates
from data.dilemmas.loaders import Corpus, load_corpus


def main(arguments: list[str]) -> None:
    """Print the balance table of the file named, or of the shipped corpus, its hash and its near duplicates."""
    corpus = load_corpus(Path(arguments[0])) if arguments else Corpus(load_dilemmas(), {})
    dilemmas = corpus.dilemmas
    languages = sorted({language for dilemma in dilemmas for language in dilemma.wordings})
    print(f"{len(dilemmas)} dilemmas in {', '.join(languages)}; corpus hash {corpus_hash(dilemmas)[:12]}")
    for reason, count in corpus.left_out.items():
        print(f"left out: {count} {reason}")
    if any(all(dilemma.values) for dilemma in dilemmas):
        print(balance(dilemmas).to_string())
    else:
        print("which values collide is not known, so value priorities cannot be measured")
    for first, second, similarity in near_duplicates(dilemmas) if len(dilemmas) <= 2000 else ():
        print(f"near duplicates: {first} and {second} ({similarity:.2f})")


if __name__ == "__main__":
    main(sys.argv[1:])
