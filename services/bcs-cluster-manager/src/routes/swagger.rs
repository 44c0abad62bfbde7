//! Static files and listings below `/swagger/` (cluster-manager.md 5.1), and the description of the API, made from the contract.

use std::io;
use std::path::{Component, Path};

use bcs_common::http::router::path::encode;
use bcs_common::http::{Body, page_not_found};
use bcs_common::version;
use bcs_proto::describe;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::line;

const DESCRIPTION: &str = "clustermanager.swagger.json";
const INDEX: &str = "index.html";

/// A file of the directory, or what is in one. The description of the API is there even if no such file is.
pub(super) async fn answer(directory: Option<&Path>, file: &str) -> Response<Body> {
    let Some(directory) = directory else { return page_not_found() };
    if file == INDEX || file.ends_with("/index.html") {
        return moved("./");
    }
    // The path is clean already; nothing but names may be left in it.
    let relative = Path::new(file);
    if file.contains('\0') || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return line(StatusCode::BAD_REQUEST, "invalid URL path");
    }
    let mut path = directory.to_owned();
    path.extend(relative.components());
    let is_directory = tokio::fs::metadata(&path).await.ok().map(|found| found.is_dir());
    let answered = match (is_directory, file.ends_with('/') || file.is_empty()) {
        (Some(true), true) => match content(&path.join(INDEX)).await {
            Ok(page) => Ok(page),
            Err(_) => listing(&path).await,
        },
        // Links in a page are relative to its directory.
        (Some(true), false) => return moved(&format!("{}/", last(file))),
        (Some(false), true) => return moved(&format!("../{}", last(file))),
        (None, true) => return page_not_found(),
        (Some(false) | None, false) => content(&path).await,
    };
    match answered {
        Ok(response) => response,
        Err(_) if file == DESCRIPTION => with_type(Body::from(describe::swagger(version::VERSION)), "application/json"),
        Err(_) => page_not_found(),
    }
}

async fn content(path: &Path) -> io::Result<Response<Body>> {
    let content = tokio::fs::read(path).await?;
    Ok(with_type(Body::from(content), media_type(path)))
}

/// As Go's file server lists a directory.
async fn listing(directory: &Path) -> io::Result<Response<Body>> {
    let (mut entries, mut names) = (tokio::fs::read_dir(directory).await?, Vec::new());
    while let Some(entry) = entries.next_entry().await? {
        let slash = if entry.file_type().await?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort_unstable();
    let links = names.iter().map(|name| format!("<a href=\"{}\">{}</a>\n", escaped(&encode(name)), escaped(name)));
    let page = format!("<pre>\n{}</pre>\n", links.collect::<String>());
    Ok(with_type(Body::from(page), "text/html; charset=utf-8"))
}

/// For texts and attributes of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

fn last(file: &str) -> String {
    encode(file.trim_end_matches('/').rsplit('/').next().unwrap_or_default())
}

fn moved(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
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
        let response = answer(Some(directory), file).await;
        let status = response.status().as_u16();
        if let Some(to) = response.headers().get(LOCATION) {
            return (status, to.to_str().unwrap().to_owned());
        }
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
        assert_eq!(got(&root, "ui/index.html").await, (301, "./".to_owned()));
        assert_eq!(got(&root, "../secret").await.0, 400);
        assert_eq!(got(&root, "none/").await.0, 404);
        assert_eq!(got(&root, "none.css").await.0, 404);
        let (status, description) = got(&root, DESCRIPTION).await;
        assert!(status == 200 && description.contains("/clustermanager/v1/namespacewithquota"));
    }

    #[tokio::test]
    async fn directories_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("ui")).unwrap();
        std::fs::write(dir.path().join("a \"<b>.json"), "{}").unwrap();
        let links = "<a href=\"a%20%22%3Cb%3E.json\">a &#34;&lt;b&gt;.json</a>\n<a href=\"ui/\">ui/</a>\n";
        assert_eq!(got(dir.path(), "").await, (200, format!("<pre>\n{links}</pre>\n")));
        assert_eq!(got(dir.path(), "ui/").await, (200, "<pre>\n</pre>\n".to_owned()));
        assert_eq!(got(dir.path(), "ui").await, (301, "ui/".to_owned()));
        assert_eq!(got(dir.path(), "a \"<b>.json/").await, (301, "../a%20%22%3Cb%3E.json".to_owned()));
    }
}
