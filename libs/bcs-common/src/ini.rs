//! ini.
