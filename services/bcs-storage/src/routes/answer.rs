//! Answers: rules return results, this turns them into envelopes (storage.md 4.1). Causes go to the log only.

use bcs_common::http::Body;
use bcs_common::http::code::{self, Code};
use bcs_common::http::envelope::{EMPTY_LIST, EMPTY_OBJECT, Success, success};
use bcs_common::http::json::write_string;
use bcs_docstore::JsonDocuments;
use http::Response;
use tracing::error;

use crate::error::{Error, Result};
use crate::state::Storage;

impl Storage {
    /// An answer without data.
    pub(super) fn done(&self, outcome: Result<()>, failure: Code) -> Response<Body> {
        match outcome {
            Ok(()) => success(EMPTY_OBJECT),
            Err(error) => self.failed(failure, &error, EMPTY_OBJECT),
        }
    }

    /// An answer with data that is JSON already.
    pub(super) fn data(&self, outcome: Result<Vec<u8>>, failure: Code) -> Response<Body> {
        match outcome {
            Ok(json) => success(&json),
            Err(error) => self.failed(failure, &error, EMPTY_OBJECT),
        }
    }

    /// An answer with one resource; a missing one has a code of its own.
    pub(super) fn resource(&self, outcome: Result<Vec<u8>>) -> Response<Body> {
        let missing = matches!(outcome, Err(Error::NotFound));
        self.data(outcome, if missing { code::STORAGE_RESOURCE_NOT_EXIST } else { code::STORAGE_GET_RESOURCE_FAIL })
    }

    /// An answer with a list of documents.
    pub(super) fn list(&self, outcome: Result<JsonDocuments>) -> Response<Body> {
        match outcome {
            Ok(documents) => listed(&documents).finish(),
            Err(error) => self.list_failed(&error),
        }
    }

    /// An answer with a list of texts.
    pub(super) fn texts(&self, outcome: Result<Vec<String>>, failure: Code) -> Response<Body> {
        match outcome {
            Ok(texts) => success(&json_list(&texts)),
            Err(error) => self.failed(failure, &error, EMPTY_LIST),
        }
    }

    /// The answer to a list that failed.
    pub(super) fn list_failed(&self, error: &Error) -> Response<Body> {
        self.failed(code::STORAGE_LIST_RESOURCE_FAIL, error, EMPTY_LIST)
    }

    fn failed(&self, code: Code, error: &Error, data: &[u8]) -> Response<Body> {
        if !matches!(error, Error::NotFound) {
            error!("{} | err: {}", code.text, error.causes());
        }
        self.program.failure(code, data)
    }

    /// The failure of a list whose answer has more keys.
    pub(super) fn log_failure(&self, code: Code, error: &Error) {
        error!("{} | err: {}", code.text, error.causes());
    }
}

fn json_list(texts: &[String]) -> Vec<u8> {
    let mut json = vec![b'['];
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_string(&mut json, text);
    }
    json.push(b']');
    json
}

/// The envelope around a list, to which keys can be added.
pub(super) fn listed(documents: &JsonDocuments) -> Success {
    let mut envelope = Success::with_capacity(documents.text.len() + 2);
    let data = envelope.data();
    data.push(b'[');
    data.extend_from_slice(&documents.text);
    data.push(b']');
    envelope
}
