//! Who calls, and what the caller may do (api.md 9).
