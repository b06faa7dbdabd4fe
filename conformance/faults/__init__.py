"""Faults: scripts that say how a server misbehaves, and a server that does it."""
