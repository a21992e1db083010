//! neighbour: to be written.
