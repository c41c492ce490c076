"""Surveys that users bring: read once, checked wholly, and stored in the user's own folder under a name.

`columns` reads files of many kinds as text codes, `codebook` says what the codes mean, `coding` makes people and
answers of both, `global_opinions` reads published shares, `stored` keeps the result, and `kinds` is what the command
calls.
"""
