//! build_constants.
