"""The report of an experiment: one HTML file that opens without a network, made from what a comparison left.

`write_report(runs / "quickstart" / "comparison")` reads summary.json, the cells' evidence (audits/*/items.parquet)
and training curves (metrics.jsonl), and writes report.html and figures/*.svg beside the summary. Nothing is
computed anew: every number in it stands in summary.json. An audit or measure that is missing leaves its section out
with one sentence.
"""

from eval.report.page import write_report

__all__ = ["write_report"]
