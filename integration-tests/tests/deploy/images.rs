//! The images that the Dockerfile makes (D-02, D-05), built where buildah is installed and may work; elsewhere the test says
//! so and ends. Compiler and packages have stand-ins, so that nothing is fetched and nothing takes long: what is looked at
//! is what the Dockerfile does with what they make.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bcs_integration_tests::workdir::{WorkDir, repository};
use serde_json::{Value, json};

use crate::skipped;
use crate::tree::SERVICES;

/// What the scripts of the Dockerfile and of the images call.
const TOOLS: [&str; 13] =
    ["bash", "env", "mkdir", "ln", "chmod", "rm", "cp", "find", "printf", "cat", "dirname", "ls", "id"];

/// In the place of the compiler: programs that say their name and arguments.
const CARGO: &str = r#"#!/bin/bash
mkdir -p target/release
for program in bcs-api bcs-storage bcs-user-manager bcs-cluster-manager bcs-check bcs; do
    printf '#!/bin/bash\necho %s "$@"\n' "$program" >"target/release/$program"
    chmod 755 "target/release/$program"
done
"#;

/// Images in a directory of the test.
struct Store {
    dir: WorkDir,
}

impl Store {
    fn buildah(&self, args: &[&str]) -> Output {
        let mut buildah = Command::new("buildah");
        buildah.args(["--storage-driver", "vfs"]);
        buildah.arg("--root").arg(self.dir.path().join("root")).arg("--runroot").arg(self.dir.path().join("run"));
        buildah.args(args).output().unwrap()
    }

    /// The output of what must succeed.
    fn done(&self, args: &[&str]) -> String {
        let output = self.buildah(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// An image with nothing but [`TOOLS`] of this machine, their libraries, and these scripts.
    fn base(&self, name: &str, scripts: &[(&str, &str)]) {
        let root = self.dir.path().join(name);
        for directory in ["usr/bin", "usr/lib", "usr/lib64", "tmp"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("usr/bin/sh", "bash")] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        for tool in TOOLS {
            let file = Path::new("/usr/bin").join(tool).canonicalize().unwrap();
            std::fs::copy(&file, root.join("usr/bin").join(tool)).unwrap();
            for library in libraries(&file) {
                let copy = root.join(library.strip_prefix("/").unwrap());
                std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
                std::fs::copy(library, copy).unwrap();
            }
        }
        for (script, text) in scripts {
            let file = root.join("usr/bin").join(script);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let dockerfile = self.dir.write(&format!("{name}.Dockerfile"), "FROM scratch\nCOPY . /\n");
        let (dockerfile, root) = (dockerfile.to_str().unwrap(), root.to_str().unwrap());
        self.done(&["build", "--isolation=chroot", "-t", &format!("localhost/{name}"), "-f", dockerfile, root]);
    }
}

/// The shared libraries of a program.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// The images' store; None: they cannot be built here, and the output tells why.
fn store() -> Option<Store> {
    if Command::new("buildah").arg("--version").output().is_err() {
        skipped("the images are not built, for buildah is not installed");
        return None;
    }
    let store = Store { dir: WorkDir::new("images") };
    let probe = store.buildah(&["from", "--name", "probe", "scratch"]);
    if !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr).into_owned();
        skipped(&format!("the images are not built, for buildah cannot work here: {why}"));
        return None;
    }
    Some(store)
}

#[test]
fn images_are_built_and_start_their_services() {
    let Some(store) = store() else { return };
    let nothing = "#!/bin/sh\nexit 0\n";
    store.base("base", &[("apt-get", nothing)]);
    store.base("builder", &[("apt-get", nothing), ("cargo", CARGO)]);
    let source = repository().to_str().unwrap();
    for program in SERVICES.iter().chain(&["bcs"]) {
        let image = format!("localhost/{program}");
        store.done(&[
            "build",
            "--isolation=chroot",
            "--layers",
            "--pull-never",
            "--build-arg=BASE=localhost/base",
            "--build-arg=BUILDER=localhost/builder",
            "--target",
            program,
            "-t",
            &image,
            source,
        ]);
        let inspected: Value = serde_json::from_str(&store.done(&["inspect", "--type", "image", &image])).unwrap();
        let config = &inspected["OCIv1"]["config"];
        let (home, command) = match *program {
            "bcs" => (
                "/data/bcs/".to_owned(),
                json!(["/usr/local/bin/bcs", "server", "--data-dir", "/data/bcs/data", "--address", "0.0.0.0"]),
            ),
            _ => {
                let home = format!("/data/bcs/{program}/");
                let script = format!("{home}container-start.sh");
                (home, json!([script]))
            }
        };
        assert_eq!((config["WorkingDir"].as_str(), &config["Cmd"]), (Some(&*home), &command), "{program}: {config}");
        for absent in ["Entrypoint", "User", "ExposedPorts"] {
            assert!(config[absent].is_null() || config[absent] == "", "{program}: {config}");
        }

        // As the chart calls it; a base with bash and coreutils is enough.
        let container = store.done(&["from", "--pull-never", &image]);
        let start = command[0].as_str().unwrap();
        let run = ["run", "--isolation=chroot", "--user=34567", &container, "--", start, "-f", "x y.json"];
        // On a loaded machine buildah may end before it has passed on what so short a run wrote.
        let started = (0..10).map(|_| store.done(&run)).find(|output| !output.is_empty());
        assert_eq!(started, Some(format!("{program} -f x y.json")));
        store.done(&["rm", &container]);
    }
}
