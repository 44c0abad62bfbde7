//! The tarballs and units of process deployments (D-50 to D-52).

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bcs_integration_tests::workdir::{WorkDir, repository};

use crate::tree::SERVICES;

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Packs scripts in the place of the programs.
fn packed() -> WorkDir {
    let dir = WorkDir::new("package");
    for program in SERVICES.iter().chain(&["bcs"]) {
        let file = dir.write(&format!("binaries/{program}"), format!("#!/bin/sh\necho {program}\n"));
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = repository().join("scripts/package.sh");
    let (binaries, output) = (dir.path().join("binaries"), dir.path().join("build"));
    let made = stdout(Command::new(script).arg(binaries).arg(&output).arg("v1.20.10-26.11.28"));
    assert!(made.lines().count() == 2 && made.lines().all(|file| Path::new(file).is_file()), "{made}");
    dir
}

#[test]
fn packages_have_the_directories_of_the_original() {
    let dir = packed();
    let build = dir.path().join("build");
    let tree = build.join("bcs.v1.20.10-26.11.28");
    for program in SERVICES {
        let group = if program == "bcs-check" { "bcs-mesos-master" } else { "bcs-services" };
        let home = tree.join(group).join(program);
        assert_eq!(stdout(&mut Command::new(home.join(program))), format!("{program}\n"));
        for file in ["container-start.sh", "Dockerfile", &format!("{program}.json.template")] {
            assert!(home.join(file).is_file(), "{program}: {file}");
        }
        let dockerfile = std::fs::read_to_string(home.join("Dockerfile")).unwrap();
        assert!(!dockerfile.contains('@') && dockerfile.contains(&format!("WORKDIR /data/bcs/{program}/")));
        assert_eq!(dockerfile.contains("swagger"), program == "bcs-cluster-manager");
    }
    for group in ["bcs-services", "bcs-mesos-master"] {
        let checked = stdout(Command::new("md5sum").args(["--strict", "-c", "MD5"]).current_dir(tree.join(group)));
        let files = walk(&tree.join(group)).len();
        // The list does not contain itself.
        assert_eq!(checked.lines().count(), files - 1, "{checked}");
    }
    let names = stdout(Command::new("tar").arg("tzf").arg(build.join("bcs.v1.20.10-26.11.28.tgz")));
    assert!(names.lines().all(|name| name.starts_with("bcs.v1.20.10-26.11.28/")), "{names}");
}

/// All regular files below a directory.
fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => walk(&entry.path()),
            kind if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

#[test]
fn the_community_edition_gets_bin_and_version() {
    let dir = packed();
    let server = dir.path().join("bcs/server");
    std::fs::create_dir_all(&server).unwrap();
    let package = dir.path().join("build/bcs-server-v1.20.10-26.11.28.tgz");
    stdout(Command::new("tar").arg("-C").arg(&server).arg("-xzf").arg(package));
    assert_eq!(std::fs::read_to_string(server.join("VERSION")).unwrap(), "v1.20.10-26.11.28\n");
    let names = std::fs::read_dir(server.join("bin")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
    let wanted = SERVICES.iter().chain(&["bcs", "cryptools"]).map(ToString::to_string).collect();
    assert_eq!(names, wanted);
    assert_eq!(stdout(&mut Command::new(server.join("bin/cryptools"))), "bcs\n");
}

/// The value of the last line with that key.
fn setting<'a>(unit: &'a str, key: &str) -> &'a str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next_back().unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn units_run_as_nobody_special_and_give_time_to_stop() {
    let units = repository().join("configs/systemd");
    for name in ["bcs@.service", "bcs-server.service"] {
        let unit = std::fs::read_to_string(units.join(name)).unwrap();
        assert_eq!((setting(&unit, "User"), setting(&unit, "NoNewPrivileges")), ("bcs", "yes"));
        assert_eq!((setting(&unit, "LimitNOFILE"), setting(&unit, "Restart")), ("1048576", "on-failure"));
        assert!(setting(&unit, "TimeoutStopSec").parse::<u32>().unwrap() > 5);
    }
    let unit = std::fs::read_to_string(units.join("bcs@.service")).unwrap();
    assert_eq!(setting(&unit, "ExecStart"), "/opt/bcs/%i/%i -f /etc/bcs/%i.json");
    assert_eq!((setting(&unit, "LimitNPROC"), setting(&unit, "AmbientCapabilities")), ("512", "CAP_NET_BIND_SERVICE"));
}
