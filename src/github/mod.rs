//! GitHub through octocrab: issues, dependencies, pull requests, comments.
