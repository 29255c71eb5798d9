"""One page for every run: self-contained HTML, afterwards (`ganas report`) and meanwhile (`ganas watch`). No torch.

A record (`ganas.records`) becomes a `Page` of blocks (blocks.py), one small module for each kind of run, and a page
becomes HTML (page.py). What the browser does is in assets/: plots by Vega-Lite, the tree of candidates on a canvas.
"""
