//! `bcs certs`: certificates for a new installation.

use std::error::Error;
use std::io::Write;

use bcs_common::certs::{self, CertsError};
use thiserror::Error;

use crate::cli::CertsArgs;

#[derive(Debug, Error)]
#[error("{0}; --force replaces it")]
struct Refused(CertsError);

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
