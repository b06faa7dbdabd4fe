"""What is run on a subject: cases that drive it, oracles that judge what was recorded.

Kept empty on purpose: pytest imports this package at every start.
"""
