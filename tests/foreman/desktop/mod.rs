//! Local clones: their states, what a look and a merge do to them, and what never happens.

mod cases;
mod concurrency;
mod hostile;
mod matrix;
mod merging;
mod routes;
mod scene;
