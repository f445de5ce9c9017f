//! Who works on an issue: the model agent and the local builder.
