"""The verifier's package: evidence formats, proofs, ledgers. Needs no gateway, no network, no event loop to verify."""
