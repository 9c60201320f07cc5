"""The process ``meterseal-ledger bridge``: many gateways' statements from MQTT to another kind of ledger.

``book`` is what it knows on disk, ``claim`` who may take statements where a broker cannot share them out, ``relay``
the way to an http ledger, ``anchorage`` the one to a chain, ``door`` the place at the broker, ``run`` the process.
"""
