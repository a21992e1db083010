//! Harness and the plain user-space model of the switch.
