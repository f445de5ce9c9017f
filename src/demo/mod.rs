//! The stand-in GitHub and the scripted model behind `foreman demo`, shared with the tests.
pub mod model;
