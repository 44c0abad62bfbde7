//! Child processes that end with the test, however it ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually_some;

/// How many lines of a log are shown when something fails.
const TAIL_LINES: usize = 60;

/// A running child. Killed and reaped when dropped; killed by the kernel when the test program dies without that
/// (a server in a static is never dropped, and a killed test program drops nothing).
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    logs: [PathBuf; 2],
}

/// A command for [`Process::spawn`]: gets the kernel's kill when the test program ends, and an environment of nothing
/// but the search path and an own home, so that no setting of the machine leaks into a test.
pub fn command(program: impl AsRef<Path>, home: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program.as_ref())
        .env_clear()
        // Debian keeps servers out of an ordinary user's search path.
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

impl Process {
    /// Starts `command` (made by [`command`]); its output is appended to `stdout.log` and `stderr.log` in `logs`.
    ///
    /// # Panics
    /// When it cannot be started. A program that does not exist shows as an early exit.
    pub fn spawn(name: &str, mut command: Command, logs: &Path) -> Self {
        let logs = [logs.join("stdout.log"), logs.join("stderr.log")];
        let open = |path| File::options().create(true).append(true).open(path).unwrap();
        command.stdout(open(&logs[0])).stderr(open(&logs[1]));
        let child = spawn_for_life(command).unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self { name: name.to_owned(), child, logs }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or nothing while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `deadline`.
    pub async fn exited(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually_some(&what, deadline, async || self.exit_status()).await
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once (SIGKILL) and waits until it is gone. Does nothing when it has ended already.
    pub fn kill(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Stops it where it is (SIGSTOP): it holds its connections and answers nothing.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        // The id cannot belong to another process as long as the child is not reaped.
        if self.exit_status().is_none() {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
        }
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|value| value.trim().strip_suffix(" kB"))
            .unwrap_or_else(|| panic!("{} has ended", self.name));
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Number of open file descriptors.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// How many of them are sockets.
    pub fn open_sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap();
        // One that has been closed meanwhile is none.
        let targets = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// All it wrote to standard output and to standard error so far.
    pub fn output(&self) -> [String; 2] {
        self.logs.each_ref().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
    }

    /// The last lines of its output.
    fn log_tail(&self) -> String {
        let mut tail = String::new();
        for (path, text) in self.logs.iter().zip(self.output()) {
            let lines: Vec<_> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            if !last.is_empty() {
                tail += &format!("--- {}\n{}\n", path.display(), last.join("\n"));
            }
        }
        tail
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failed test only")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprint!("{}", self.log_tail());
        }
    }
}

/// Starts a child from a thread that lives as long as this process: the kernel sends the signal of `setpriv
/// --pdeathsig` when the *thread* that started the child ends, and every test has a thread of its own.
fn spawn_for_life(command: Command) -> io::Result<Child> {
    type Order = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = sync_channel::<Order>(0);
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                // The other end waits for it.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = sync_channel(1);
    spawner.send((command, reply)).unwrap();
    child.recv().unwrap()
}
