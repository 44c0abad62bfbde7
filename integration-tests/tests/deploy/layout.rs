//! Where things are in the images (D-01 to D-05).

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bcs_integration_tests::workdir::repository;

use crate::chart_env::defaults;
use crate::tree::{SERVICES, Tree};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o7777
}

#[test]
fn programs_scripts_and_directories_are_where_the_charts_want_them() {
    for program in SERVICES {
        let tree = Tree::stand_in(program);
        let home = tree.home();
        assert_eq!(mode(&home.join(program)), 0o755, "{program}");
        assert_eq!(mode(&home.join("container-start.sh")), 0o755, "{program}");
        assert_eq!(mode(&home.join(format!("{program}.json.template"))), 0o644, "{program}");
        let data = tree.root().join("data/bcs");
        for dir in [home, data.join("logs/bcs"), data.join("cert")] {
            assert_eq!(mode(&dir), 0o1777, "{}", dir.display());
        }
        assert_eq!(data.join("swagger").is_dir(), program == "bcs-cluster-manager");
        let files = ["storage-database.conf.template", "queue.conf.template"];
        assert!(files.iter().all(|file| tree.home().join(file).is_file() == (program == "bcs-storage")));
    }
}

/// The names after dollars, with or without braces.
fn variables(template: &str) -> BTreeSet<&str> {
    template
        .split('$')
        .skip(1)
        .map(|rest| {
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

#[test]
fn templates_use_exactly_the_variables_of_the_charts() {
    // What the start script reads, and what the charts set for nobody.
    let others =
        ["BCS_CONFIG_TYPE", "bkiamAuthHost", "bcsEtcdHost", "bcsEtcdCAFile", "bcsEtcdCertFile", "bcsEtcdKeyFile"];
    for program in SERVICES {
        let dir = repository().join("configs").join(program);
        let templates: String = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        let used = variables(&templates);
        let known = defaults(program);
        let unknown: Vec<_> = used.iter().filter(|name| !known.contains_key(**name)).collect();
        assert!(unknown.is_empty(), "{program} wants more than the charts give: {unknown:?}");
        let unused: Vec<_> =
            known.keys().filter(|name| !used.contains(name.as_str()) && !others.contains(&name.as_str())).collect();
        assert!(unused.is_empty(), "{program} drops what the charts give: {unused:?}");
    }
}

/// What any glibc base has.
const BASE_LIBRARIES: [&str; 8] = [
    "linux-vdso",
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "ld-linux",
];

#[test]
fn programs_need_nothing_but_the_c_library() {
    for program in SERVICES {
        let tree = Tree::new(program);
        let output = Command::new("ldd").arg(tree.home().join(program)).output().unwrap();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            assert!(BASE_LIBRARIES.iter().any(|library| line.contains(library)), "{program}: {line}");
            assert!(!line.contains("not found"), "{program}: {line}");
        }
    }
}

/// The instructions of a target of the Dockerfile, up to the next one.
fn target<'a>(dockerfile: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!(" AS {name}");
    let lines = dockerfile.lines().skip_while(|line| !(line.starts_with("FROM ") && line.ends_with(&head))).skip(1);
    lines
        .take_while(|line| !line.starts_with("FROM "))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[test]
fn the_image_configuration_leaves_the_command_to_the_charts() {
    let dockerfile = std::fs::read_to_string(repository().join("Dockerfile")).unwrap();
    for program in SERVICES {
        let wanted = [
            format!("COPY --from=build /trees/{program}/ /"),
            format!("WORKDIR /data/bcs/{program}/"),
            format!("CMD [\"/data/bcs/{program}/container-start.sh\"]"),
        ];
        assert_eq!(target(&dockerfile, program), wanted);
    }
    assert!(!dockerfile.contains("ENTRYPOINT") && !dockerfile.contains("USER"));
}
