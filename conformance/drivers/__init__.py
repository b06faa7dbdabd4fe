"""Drivers: processes that run an SDK and tell what it returned or raised.

`protocol` is what is said, `process` starts and survives a driver, `environment` installs a
Python SDK, `host` runs it there by one of `tables`, `check` tells a driver's author what is
wrong with it, `init` writes a first table.
"""
