"""Recipes and adapters: records and a base model in, a variant out. Imports `data` only."""
