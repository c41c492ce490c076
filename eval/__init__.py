"""The four audits, answer scoring, distances, statistics, comparison and report. Imports `data` only."""
