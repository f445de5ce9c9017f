//! Runs untrusted commands: no network, no credentials, limits, nothing alive afterwards.
