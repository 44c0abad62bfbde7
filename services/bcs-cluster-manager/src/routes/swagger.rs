//! Static files below `/swagger/` (cluster-manager.md 5.1), and the description of the API, made from the contract.

use std::path::{Component, Path};

use bcs_common::http::{Body, page_not_found};
use bcs_common::version;
use bcs_proto::describe;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::line;

const DESCRIPTION: &str = "clustermanager.swagger.json";
const INDEX: &str = "index.html";

/// A file of the directory. The description of the API is there even if no such file is.
pub(super) async fn answer(directory: &Path, file: &str) -> Response<Body> {
    if file == INDEX || file.ends_with("/index.html") {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("./"));
        return response;
    }
    // The path is clean already; nothing but names may be left in it.
    let relative = Path::new(file);
    if file.contains('\0') || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return line(StatusCode::BAD_REQUEST, "invalid URL path");
    }
    let path = directory.join(relative);
    let path = if path.is_dir() { path.join(INDEX) } else { path };
    match tokio::fs::read(&path).await {
        Ok(content) => with_type(Body::from(content), media_type(&path)),
        Err(_) if file == DESCRIPTION => with_type(Body::from(describe::swagger(version::VERSION)), "application/json"),
        Err(_) => page_not_found(),
    }
}

fn with_type(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use bcs_common::http::body;

    use super::*;

    async fn got(directory: &Path, file: &str) -> (u16, String) {
        let response = answer(directory, file).await;
        let status = response.status().as_u16();
        let text = body::collect(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    #[tokio::test]
    async fn files_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("swagger/ui")).unwrap();
        std::fs::write(dir.path().join("swagger/ui/index.html"), "page").unwrap();
        std::fs::write(dir.path().join("secret"), "no").unwrap();
        let root = dir.path().join("swagger");
        assert_eq!(got(&root, "ui/").await, (200, "page".to_owned()));
        assert_eq!(got(&root, "ui/index.html").await.0, 301);
        assert_eq!(got(&root, "../secret").await.0, 400);
        assert_eq!(got(&root, "").await.0, 404);
        assert_eq!(got(&root, "none.css").await.0, 404);
        let (status, description) = got(&root, DESCRIPTION).await;
        assert!(status == 200 && description.contains("/clustermanager/v1/namespacewithquota"));
    }
}
