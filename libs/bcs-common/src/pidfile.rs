//! pidfile.
