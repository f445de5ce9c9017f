//! The engine: nights, attempts, recovery.
