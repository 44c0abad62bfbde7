//! The flag list of `--help` and of flag errors, laid out as pflag does.

use serde_json::Value;

use super::flags::builtin;
use super::option::{Kind, Opt, Spec};

/// `Usage of <program>:` and one line a flag, in alphabetical order.
pub(super) fn text(spec: &Spec) -> String {
    let builtin = builtin();
    let mut lines: Vec<(String, String)> = spec.options.iter().chain(&builtin).filter_map(line).collect();
    // The letter comes first in the line; order by what follows it.
    lines.sort_by(|(a, _), (b, _)| a.get(6..).cmp(&b.get(6..)));
    let width = lines.iter().map(|(flag, _)| flag.len()).max().unwrap_or_default();
    let mut text = format!("Usage of {}:\n", spec.program);
    for (flag, usage) in lines {
        text.push_str(&format!("{flag:width$}   {usage}\n"));
    }
    text
}

/// The flag column and the usage column.
fn line(opt: &Opt) -> Option<(String, String)> {
    let name = opt.flag_name()?;
    let mut flag = match opt.short {
        Some(letter) => format!("  -{letter}, --{name}"),
        None => format!("      --{name}"),
    };
    if opt.kind != Kind::Bool {
        flag = format!("{flag} {}", opt.kind.name());
    }
    let default = match &opt.default {
        Value::String(text) if !text.is_empty() => format!(" (default {text:?})"),
        value @ Value::Bool(true) => format!(" (default {value})"),
        Value::Number(number) if number.as_f64() != Some(0.0) => format!(" (default {number})"),
        _ => String::new(),
    };
    Some((flag, format!("{}{default}", opt.usage)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_defaults_and_order() {
        let options = vec![
            Opt::string("log_dir", "./logs", "directory of the logs"),
            Opt::port("port", 8080, "port to listen on").short('p'),
            Opt::port("insecure_port", 0, "plain port"),
            Opt::boolean("etcdRegistry.etcd_feature", false, "register in etcd"),
            Opt::string("x.mysql_dsn", "", "database").secret(),
            Opt::string_list("allow", "networks"),
            Opt::string("hidden", "", "file only").file_only(),
            Opt::json("users", "file only"),
        ];
        let want = "\
Usage of bcs-x:
      --allow strings        networks
      --etcd-feature         register in etcd
  -h, --help                 print this help and exit
      --insecure-port uint   plain port
      --log-dir string       directory of the logs (default \"./logs\")
      --mysql-dsn string     database
  -p, --port uint            port to listen on (default 8080)
      --version              print the version and exit
";
        assert_eq!(text(&Spec { program: "bcs-x", about: "", options }), want);
    }
}
