//! mongo.
