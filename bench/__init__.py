"""What the pipeline costs, against what its peers cost: ratios, both sides in one run.

Nothing here is imported by the product. ``python -m bench`` runs everything, ``--quick`` a small
version for a busy machine; the rows are those of the performance goals (P1 and so on).
"""
