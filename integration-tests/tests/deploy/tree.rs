//! The tree of an image in a directory of the test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bcs_integration_tests::process::command;
use bcs_integration_tests::workdir::{WorkDir, programs, repository};

use crate::chart_env::Env;

/// The services that have an image.
pub const SERVICES: [&str; 5] = ["bcs-api", "bcs-storage", "bcs-user-manager", "bcs-cluster-manager", "bcs-check"];

/// What `scripts/image-tree.sh` made.
pub struct Tree {
    program: String,
    dir: WorkDir,
}

impl Tree {
    /// The image of a program, with the program of this build.
    pub fn new(program: &str) -> Self {
        Self::with_binaries(program, &programs())
    }

    /// The image of a program, with a script in its place: it prints its arguments, one a line.
    pub fn stand_in(program: &str) -> Self {
        let binaries = WorkDir::new("binaries");
        let file = binaries.write(program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self::with_binaries(program, binaries.path())
    }

    fn with_binaries(program: &str, binaries: &Path) -> Self {
        let dir = WorkDir::new("image");
        assemble(program, binaries, dir.path());
        Self { program: program.to_owned(), dir }
    }

    /// The root of the image.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// `/data/bcs/<program>`.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("data/bcs").join(&self.program)
    }

    /// A file in the program's directory.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home().join(name)).unwrap()
    }

    /// The start script with these arguments and nothing but this environment.
    pub fn start_script(&self, env: &Env, args: &[&str]) -> Command {
        // Where the command runs must not matter.
        let mut command = command(self.home().join("container-start.sh"), self.root());
        command.env_remove("LANG").envs(env).args(args);
        command
    }

    /// Runs the start script to its end.
    pub fn run(&self, env: &Env, args: &[&str]) -> Output {
        self.start_script(env, args).output().unwrap()
    }

    /// The directory, for a daemon that runs in it.
    pub fn into_dir(self) -> WorkDir {
        self.dir
    }
}

/// Runs `scripts/image-tree.sh`.
pub fn assemble(program: &str, binaries: &Path, root: &Path) {
    let script = repository().join("scripts/image-tree.sh");
    let status = Command::new(script).arg(program).arg(binaries).arg(root).status().unwrap();
    assert!(status.success(), "{program}: {status}");
}
