//! The log files: one for each level, rotated by size, the oldest removed (common.md 1.6).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Local};

use super::severity::Severity;
use crate::config::group::LogFormat;

/// Bytes that wait for a flush.
const BUFFER: usize = 256 * 1024;

/// Where the files go and how many there may be.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub dir: PathBuf,
    /// Where files go if they cannot be made in `dir`.
    pub fallback: PathBuf,
    pub program: String,
    pub host: String,
    pub user: String,
    /// Bytes, 0 is no limit.
    pub max_size: u64,
    /// Files of a level, 0 is no limit.
    pub max_files: usize,
    pub format: LogFormat,
}

/// The open files of all levels.
pub(super) struct Files {
    settings: Settings,
    open: [Option<LevelFile>; 4],
}

struct LevelFile {
    writer: BufWriter<File>,
    size: u64,
}

impl Files {
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: [const { None }; 4] }
    }

    /// Write a line to the file of its level and those of the lower levels; files are made at first use.
    ///
    /// # Errors
    /// The first failure. The other files have got the line.
    pub fn write(&mut self, severity: Severity, line: &str) -> io::Result<()> {
        let mut result = Ok(());
        for (level, slot) in Severity::ALL.into_iter().zip(&mut self.open) {
            if level <= severity {
                result = result.and(append(&self.settings, level, slot, line));
            }
        }
        result
    }

    /// Hand everything to the operating system.
    ///
    /// # Errors
    /// The first failure.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for file in self.open.iter_mut().flatten() {
            result = result.and(file.writer.flush());
        }
        result
    }
}

fn append(settings: &Settings, level: Severity, slot: &mut Option<LevelFile>, line: &str) -> io::Result<()> {
    let length = line.len() as u64;
    let full = |file: &LevelFile| settings.max_size > 0 && file.size + length >= settings.max_size;
    if let Some(mut old) = slot.take_if(|file| full(file)) {
        old.writer.flush()?;
    }
    let file = match slot {
        Some(file) => file,
        None => slot.insert(create(settings, level, Local::now())?),
    };
    file.writer.write_all(line.as_bytes())?;
    file.size += length;
    Ok(())
}

fn create(settings: &Settings, level: Severity, now: DateTime<Local>) -> io::Result<LevelFile> {
    create_in(settings, &settings.dir, level, now).or_else(|error| {
        // The reason why the wanted directory does not work is the one worth reporting.
        create_in(settings, &settings.fallback, level, now).map_err(|_| error)
    })
}

fn create_in(settings: &Settings, dir: &Path, level: Severity, now: DateTime<Local>) -> io::Result<LevelFile> {
    fs::create_dir_all(dir)?;
    let prefix = prefix(settings, level);
    let stamp = now.format("%Y%m%d-%H%M%S");
    let first = format!("{prefix}{stamp}.{}", std::process::id());
    let (name, file) = open_new(dir, &first)?;
    let mut file = LevelFile { writer: BufWriter::with_capacity(BUFFER, file), size: 0 };
    if settings.format == LogFormat::Text {
        let header = header(&settings.host, now);
        file.writer.write_all(header.as_bytes())?;
        file.writer.flush()?;
        file.size = header.len() as u64;
    }
    // Neither the link nor old files are worth losing the log for.
    let _ = link(dir, &format!("{}.{}", settings.program, level.name()), &name);
    let _ = remove_oldest(dir, &prefix, &name, settings.max_files);
    Ok(file)
}

fn prefix(settings: &Settings, level: Severity) -> String {
    format!("{}.{}.{}.log.{}.", settings.program, settings.host, settings.user, level.name())
}

/// Make a new file. The second one within a second gets the suffix `.1` and so on: always one more than the newest, as
/// the names of older ones may be free again.
fn open_new(dir: &Path, first: &str) -> io::Result<(String, File)> {
    let mut suffix = newest_suffix(dir, first)?.map_or(0, |newest| newest.saturating_add(1));
    loop {
        let name = if suffix == 0 { first.to_owned() } else { format!("{first}.{suffix}") };
        match OpenOptions::new().append(true).create_new(true).open(dir.join(&name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && suffix < u32::MAX => suffix += 1,
            result => return result.map(|file| (name, file)),
        }
    }
}

/// The highest suffix of the files of the same second, 0 for the one without, `None` if there is no file.
fn newest_suffix(dir: &Path, first: &str) -> io::Result<Option<u32>> {
    let mut newest = None;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let suffix = match name.to_str().and_then(|name| name.strip_prefix(first)) {
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix('.').and_then(|suffix| suffix.parse().ok()),
            None => None,
        };
        newest = newest.max(suffix);
    }
    Ok(newest)
}

fn header(host: &str, now: DateTime<Local>) -> String {
    format!(
        "Log file created at: {}\nRunning on machine: {host}\nBinary: Built with rustc {} for {}/{}\n\
         Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n",
        now.format("%Y/%m/%d %H:%M:%S"),
        env!("CARGO_PKG_RUST_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// Point a symbolic link at the newest file; readers never find it missing.
fn link(dir: &Path, name: &str, target: &str) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &temporary)?;
    fs::rename(&temporary, dir.join(name))
}

/// Keep the newest files of a level, in any case the current one: its stamp is not the latest when the local time has been
/// set back. The original kept the oldest ones.
fn remove_oldest(dir: &Path, prefix: &str, current: &str, keep: usize) -> io::Result<()> {
    if keep == 0 {
        return Ok(());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        if let Some(age) = name.strip_prefix(prefix).and_then(age).filter(|_| name != current) {
            files.push((age, name));
        }
    }
    files.sort();
    let surplus = (files.len() + 1).saturating_sub(keep);
    for (_, name) in files.into_iter().take(surplus) {
        fs::remove_file(dir.join(name))?;
    }
    Ok(())
}

/// What to sort files by: time stamp and suffix of `<stamp>.<pid>[.<suffix>]`; `None` if it is no file of ours.
fn age(rest: &str) -> Option<(String, u32)> {
    let mut parts = rest.split('.');
    let stamp = parts.next()?;
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = stamp.split_once('-')?;
    let _pid: u32 = parts.next()?.parse().ok()?;
    let suffix = parts.next().map_or(Some(0), |suffix| suffix.parse().ok())?;
    (digits(date, 8) && digits(time, 6) && parts.next().is_none()).then(|| (stamp.to_owned(), suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dir: &Path) -> Settings {
        Settings {
            dir: dir.join("logs"),
            fallback: dir.join("tmp"),
            program: "bcs-x".into(),
            host: "node".into(),
            user: "root".into(),
            max_size: 0,
            max_files: 0,
            format: LogFormat::Text,
        }
    }

    fn names(dir: &Path, part: &str) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.contains(part)).collect();
        names.sort();
        names
    }

    #[test]
    fn a_line_goes_to_its_level_and_all_lower_ones() {
        let temp = tempfile::tempdir().unwrap();
        let settings = settings(temp.path());
        let mut files = Files::new(settings.clone());
        files.write(Severity::Info, "one\n").unwrap();
        assert_eq!(names(&settings.dir, ".log.").len(), 1);
        files.write(Severity::Error, "two\n").unwrap();
        files.flush().unwrap();
        let read = |level: &str| fs::read_to_string(settings.dir.join(format!("bcs-x.{level}"))).unwrap();
        assert!(read("INFO").ends_with("] msg\none\ntwo\n"));
        assert!(read("WARNING").ends_with("] msg\ntwo\n") && read("ERROR").ends_with("] msg\ntwo\n"));
        assert!(!settings.dir.join("bcs-x.FATAL").exists());
    }

    #[test]
    fn names_header_and_link() {
        let temp = tempfile::tempdir().unwrap();
        let settings = settings(temp.path());
        let mut files = Files::new(settings.clone());
        files.write(Severity::Info, "x\n").unwrap();
        files.flush().unwrap();
        let name = names(&settings.dir, ".log.").remove(0);
        let rest = name.strip_prefix("bcs-x.node.root.log.INFO.").unwrap();
        assert!(age(rest).is_some() && rest.ends_with(&format!(".{}", std::process::id())), "{name}");
        assert_eq!(fs::read_link(settings.dir.join("bcs-x.INFO")).unwrap(), Path::new(&name));
        let content = fs::read_to_string(settings.dir.join(name)).unwrap();
        let lines: Vec<_> = content.lines().collect();
        assert!(lines[0].starts_with("Log file created at: 20") && lines[1] == "Running on machine: node");
        assert!(lines[2].starts_with("Binary: Built with rustc ") && lines[2].contains(" for linux/"));
        assert_eq!(lines[3], "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg");
    }

    #[test]
    fn rotates_before_the_limit_and_keeps_the_newest_files() {
        let temp = tempfile::tempdir().unwrap();
        let settings = Settings { max_size: 1000, max_files: 3, ..settings(temp.path()) };
        fs::create_dir_all(&settings.dir).unwrap();
        let old = "bcs-x.node.root.log.INFO.20010101-000000.1";
        let others = ["bcs-x.node.root.log.INFO.20010101-000000.1.gz", "bcs-x.node.root.log.INFO.note", "bcs-y.log"];
        for name in others.iter().chain([&old]) {
            fs::write(settings.dir.join(name), "").unwrap();
        }
        let mut files = Files::new(settings.clone());
        // With the header, two of these lines fit into a file.
        let line = |number: usize| format!("<{number}> {}\n", "x".repeat(350));
        for number in 0..20 {
            files.write(Severity::Info, &line(number)).unwrap();
        }
        files.flush().unwrap();
        assert!(!settings.dir.join(old).exists());
        assert!(others.iter().all(|name| settings.dir.join(name).exists()));
        let current = names(&settings.dir, &format!(".{}", std::process::id()));
        assert_eq!(current.len(), 3);
        let newest = fs::read_link(settings.dir.join("bcs-x.INFO")).unwrap();
        let read = |name: &Path| fs::read_to_string(settings.dir.join(name)).unwrap();
        assert!(read(&newest).ends_with(&format!("{}{}", line(18), line(19))));
        let all: String = current.iter().map(|name| read(Path::new(name))).collect();
        for number in 0..20 {
            assert_eq!(all.contains(&line(number)), number >= 14, "line {number}");
        }
        assert!(current.iter().all(|name| read(Path::new(name)).len() < 1000));
    }

    #[test]
    fn the_current_file_stays_when_the_clock_went_back() {
        let temp = tempfile::tempdir().unwrap();
        let settings = Settings { max_files: 1, ..settings(temp.path()) };
        fs::create_dir_all(&settings.dir).unwrap();
        fs::write(settings.dir.join("bcs-x.node.root.log.INFO.29990101-000000.1"), "").unwrap();
        Files::new(settings.clone()).write(Severity::Info, "x\n").unwrap();
        assert_eq!(
            names(&settings.dir, ".log."),
            [fs::read_link(settings.dir.join("bcs-x.INFO")).unwrap().to_str().unwrap()]
        );
    }

    #[test]
    fn ages_sort_by_time_then_suffix() {
        let mut rests = ["20210602-140102.9.10", "20210602-140102.9", "20210602-140101.10", "20210602-140102.9.2"];
        rests.sort_by_key(|rest| age(rest));
        assert_eq!(rests, ["20210602-140101.10", "20210602-140102.9", "20210602-140102.9.2", "20210602-140102.9.10"]);
        assert!(
            ["", "x", "20210602-1401.9", "20210602-140102", "20210602-140102.9.1.1"]
                .iter()
                .all(|rest| age(rest).is_none())
        );
    }

    #[test]
    fn falls_back_when_the_directory_cannot_be_made() {
        let temp = tempfile::tempdir().unwrap();
        let settings = settings(temp.path());
        fs::write(&settings.dir, "a file is in the way").unwrap();
        Files::new(settings.clone()).write(Severity::Info, "x\n").unwrap();
        assert!(settings.fallback.join("bcs-x.INFO").exists());
        fs::remove_dir_all(&settings.fallback).unwrap();
        fs::write(&settings.fallback, "").unwrap();
        assert!(Files::new(settings).write(Severity::Info, "x\n").is_err());
    }

    #[test]
    fn json_files_have_no_header() {
        let temp = tempfile::tempdir().unwrap();
        let settings = Settings { format: LogFormat::Json, ..settings(temp.path()) };
        let mut files = Files::new(settings.clone());
        files.write(Severity::Info, "{}\n").unwrap();
        files.flush().unwrap();
        assert_eq!(fs::read_to_string(settings.dir.join("bcs-x.INFO")).unwrap(), "{}\n");
    }
}
