"""Tests of memconform itself."""
