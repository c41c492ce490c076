"""The Ethical Dilemma Corpus: two defensible actions, each serving one of two colliding values. See README.md here."""
