//! The version facts of the build and the text of `--version` (common.md 1.4).
//!
//! They are injected through environment variables at compile time; an empty variable counts as unset.

const fn or_default(injected: Option<&'static str>, default: &'static str) -> &'static str {
    match injected {
        Some(value) if !value.is_empty() => value,
        _ => default,
    }
}

/// `BCS_VERSION`: the bare version, also the `version` of etcd registrations (common.md 4).
pub const VERSION: &str = or_default(option_env!("BCS_VERSION"), "17.03.28");
/// `BCS_TAG`: the git tag.
pub const TAG: &str = or_default(option_env!("BCS_TAG"), "2017-03-28 Release");
/// `BCS_BUILD_TIME`: when the binary was built.
pub const BUILD_TIME: &str = or_default(option_env!("BCS_BUILD_TIME"), "2017-03-28 19:50:00");
/// `BCS_GIT_HASH`: the full commit hash.
pub const GIT_HASH: &str = or_default(option_env!("BCS_GIT_HASH"), "unknown");

/// The four lines of `--version`, each ended by a newline. ZooKeeper nodes carry the same text (common.md 3.4).
#[must_use]
pub fn text() -> String {
    layout(VERSION, TAG, BUILD_TIME, GIT_HASH)
}

fn layout(version: &str, tag: &str, build_time: &str, git_hash: &str) -> String {
    format!("Version  :{version}\nTag      :{tag}\nBuildTime:  {build_time}\nGitHash:  {git_hash}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_byte_exact() {
        assert_eq!(
            layout("1.20.0-21.06.02", "v1.20.0", "2021-06-02T10:00:00+0800", "7c0f5144e"),
            "Version  :1.20.0-21.06.02\nTag      :v1.20.0\nBuildTime:  2021-06-02T10:00:00+0800\nGitHash:  7c0f5144e\n"
        );
    }

    #[test]
    fn unset_and_empty_variables_give_the_default() {
        assert_eq!(or_default(None, "d"), "d");
        assert_eq!(or_default(Some(""), "d"), "d");
        assert_eq!(or_default(Some("1.0"), "d"), "1.0");
    }
}
