//! The command line against a running agent: what it prints, byte for byte, and its exit status.
