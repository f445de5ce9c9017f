//! Every SQL statement of Foreman, on SQLite and PostgreSQL alike.
