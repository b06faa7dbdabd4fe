"""The reference SDK: a client made from a contract, which behaves exactly as promised.

`policy` decides (pure), `messages` turns arguments into requests and answers into results,
`errors` makes the documented exception classes, `transport` moves bytes, `client` ties them
together for both modes, `module` gives it the shape of an installed package with a driver table.
`defects` lists the named ways in which it can be made wrong.

    python -m conformance.reference.sdk --api claiv --defect retry.never
"""
