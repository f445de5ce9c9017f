//! Pure: what an issue is, what it waits for, and the order of a night.
