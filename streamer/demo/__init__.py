"""The demo: every part of the product as a process of its own on this machine, and the ledger at the end."""
