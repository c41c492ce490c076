"""The Ethical Dilemma Corpus audit: temporal stability."""
