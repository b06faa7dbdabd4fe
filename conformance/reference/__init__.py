"""The perfect references and the ways in which they can be made wrong on purpose."""
