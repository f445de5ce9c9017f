//! Local clones: their states, what a look and a merge do to them, and what never happens.

mod cases;
mod checked;
mod concurrency;
mod hostile;
mod matrix;
mod merging;
mod periodic;
mod routes;
mod scene;
