"""Load runs of a contract."""
