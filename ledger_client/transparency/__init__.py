"""The embedded carbon ledger: a SCITT transparency service on SQLite, over HTTP and MQTT."""
