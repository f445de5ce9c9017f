//! The six checks, their evidence, and the only maker of `GatesPassed`.
