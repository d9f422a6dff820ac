"""The store: one SQLite file with all that outlives a process. Other packages keep tables of their own in it.

`Store` is what most need; `ledger` tells how runs went without their bulk, `idempotency` keeps the API's keys.
"""

from exporter.store.file import StoreError
from exporter.store.store import CounterKey, Store, add_counters

__all__ = ["CounterKey", "Store", "StoreError", "add_counters"]
