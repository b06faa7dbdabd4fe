"""Servers that are not ours: written from documents, or known to the field, or wrong on purpose."""
