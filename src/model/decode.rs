//! JSON trees to domain values: tolerant, with the path of every problem.
