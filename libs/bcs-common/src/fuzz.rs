//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use rustls::crypto::aws_lc_rs;
use serde::de::IgnoredAny;

use crate::config::file::File;
use crate::config::{Opt, Spec};
use crate::http::document::Document;
use crate::http::query::Query;
use crate::http::router::path;
use crate::ini::Ini;
use crate::registry::address::parse_list;
use crate::tls::{key, pem};
use crate::{secret, server_addresses, yaml as yaml_text};

/// All of them.
pub const ALL: &[fn(&[u8])] = &[yaml, config_file, ini, pem, private_key, secret, addresses, document, query];

/// A JSON config file, by every key of an example.
pub fn config_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let options = vec![
        Opt::port("port", 1, ""),
        Opt::string_list("list", ""),
        Opt::boolean("a.b", false, ""),
        Opt::string("a.c", "", "").secret(),
        Opt::json("d", ""),
    ];
    let spec = Spec { program: "fuzz", about: "", options };
    if let Ok(file) = File::parse("fuzz.json", &text, &spec) {
        for option in &spec.options {
            let _ = file.value(option);
        }
    }
}

/// A file of sections.
pub fn ini(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let ini = Ini::parse(&text);
    for section in ini.sections() {
        assert!(ini.section(section.name()).is_some());
    }
}

/// The blocks of a PEM file.
pub fn pem(data: &[u8]) {
    let _ = pem::blocks(data);
}

/// A private key, encrypted or not.
pub fn private_key(data: &[u8]) {
    let provider = aws_lc_rs::default_provider();
    let _ = key::load(data, "password", "the password", provider.key_provider);
}

/// A value that should be encrypted.
pub fn secret(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = secret::decrypt(&text);
}

/// Lists of servers.
pub fn addresses(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = parse_list(&text, 2181);
    let _ = server_addresses::are_valid(&text);
}

/// A JSON body by Go's rules.
pub fn document(data: &[u8]) {
    let document = Document::parse(data);
    let _ = (document.text("a").len(), document.uint("a"), document.list("a"), document.inner("a"));
}

/// A query and a path.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Query::parse(&text);
    if let Some(decoded) = path::decode(&text)
        && let Some(clean) = path::cleaned(&decoded)
    {
        assert!(path::cleaned(&clean).is_none(), "{clean}");
    }
}

/// YAML that becomes JSON.
pub fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(json) = yaml_text::to_json(&text) {
        // `Value` would refuse what is nested deeply.
        assert!(serde_json::from_slice::<IgnoredAny>(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[-{}:,a-e0-9=#%/. \\n]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
