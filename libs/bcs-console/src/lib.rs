//! The console: a page over the services' own APIs, and what it asks about the services themselves. Who serves it decides
//! where it is, who may see it, and which services there are.
//!
//! ```text
//! /                          the page                        [`file`]
//! /console/overview          what runs                       [`Overview::answer`]
//! /console/openapi/<name>    the routes of a service         [`Overview::routes`]
//! ```

mod assets;
pub mod certificate;
pub mod client;
mod overview;

pub use assets::find as file;
pub use overview::{Overview, Readiness, ServiceAt, readiness};

use bcs_common::http::Body;
use bcs_common::http::envelope::json_response;
use http::{Response, StatusCode};
use serde_json::json;

/// An error in the envelope of the services; the code is the HTTP status. The page signs out at a 401.
#[must_use]
pub fn error(status: StatusCode, message: &str) -> Response<Body> {
    let body = json!({"result": false, "code": status.as_u16(), "message": message, "data": null});
    let mut response = json_response(body.to_string());
    *response.status_mut() = status;
    response
}
