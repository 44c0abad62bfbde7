//! `bcs certs`: certificates for a new installation; and those of `bcs server`.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use bcs_common::certs::{self, CertFiles, CertsError};
use thiserror::Error;

use crate::cli::CertsArgs;

#[derive(Debug, Error)]
#[error("{0}; --force replaces it")]
struct Refused(CertsError);

/// Where the certificates of `bcs server` are, in its data directory.
const SERVER_DIR: &str = "certs";

/// The certificates in the data directory of a server that listens on `address`. They are made if there are none, all of
/// them or none; an operator's own ones are used as they are.
///
/// # Errors
/// They cannot be made or written.
pub fn of_server(data_dir: &Path, address: IpAddr) -> Result<CertFiles, CertsError> {
    let dir = data_dir.join(SERVER_DIR);
    if !dir.exists() {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        if !address.is_unspecified() && !address.is_loopback() {
            hosts.push(address.to_string());
        }
        let unfinished = data_dir.join(format!("{SERVER_DIR}.new"));
        certs::generate(&hosts)?.write(&unfinished, true)?;
        fs::rename(&unfinished, &dir).map_err(|source| CertsError::Write { path: dir.clone(), source })?;
    }
    Ok(CertFiles::in_dir(&dir))
}

/// Writes the files and lists them.
pub fn run(args: &CertsArgs, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let files = certs::generate(&args.hosts)?.write(&args.out, args.force).map_err(|error| match error {
        CertsError::Exists(_) => Box::from(Refused(error)),
        other => Box::<dyn Error>::from(other),
    })?;
    for file in files.all() {
        writeln!(stdout, "{}", file.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificates_of_a_server_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let make = || of_server(dir.path(), "127.0.0.1".parse().unwrap()).unwrap();
        let files = make();
        let first = fs::read(&files.server).unwrap();
        assert!(files.all().into_iter().all(Path::exists));
        assert_eq!((make(), fs::read(&files.server).unwrap()), (files, first));
    }

    #[test]
    fn lists_the_files_and_keeps_existing_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut args = CertsArgs { out: dir.path().to_owned(), hosts: vec!["localhost".into()], force: false };
        let mut listed = Vec::new();
        run(&args, &mut listed).unwrap();
        let listed = String::from_utf8(listed).unwrap();
        assert_eq!(listed.lines().count(), 6);
        assert!(listed.lines().all(|file| std::path::Path::new(file).is_file()));

        let refused = run(&args, &mut Vec::new()).unwrap_err().to_string();
        assert!(refused.ends_with("bcs-ca.pem exists already; --force replaces it"));
        args.force = true;
        run(&args, &mut Vec::new()).unwrap();
    }
}
