//! Pure: which tier a piece of work starts at and what to do after each class of error.
