"""What runs inside an SDK's environment: standard library only, Python 3.9 or newer.

`table` says what a driver table is, `clock` makes waits virtual, `render` turns values and
exceptions into JSON, `calls` runs operations, `serve` answers the protocol. Nothing here may
import a package, nor anything of this project outside this folder.
"""
