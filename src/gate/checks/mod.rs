//! The checks that need the commands' results: a small file each, facts in and one row out.
//!
//! Pure, but for `regression`, which runs the new tests on the base. `qic` judges each command's
//! own result; these judge them together.

pub(super) mod commands;
pub(super) mod counts;
pub(super) mod regression;
pub(super) mod tree;
