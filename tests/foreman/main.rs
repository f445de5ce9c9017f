//! The one integration-test binary: a file per story.

mod github;
