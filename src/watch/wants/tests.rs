//! What is read on demand, against an API server of a few lines.
