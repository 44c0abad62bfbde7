//! Finds the key that an ignored one was probably meant to be.

/// The candidate that differs only in case or separators, or by at most two letters in a name of five or more.
pub(super) fn nearest<'a>(key: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = plain(key);
    let allowed = if plain.len() < 5 { 0 } else { 2 };
    candidates
        .map(|candidate| (distance(&plain, &self::plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

fn plain(key: &str) -> Vec<char> {
    key.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Levenshtein distance: how many letters to insert, delete or replace.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, left) in a.iter().enumerate() {
        let mut next = vec![index + 1];
        for ((right, diagonal), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let before = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(left != right)).min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_only() {
        let known = ["port", "log_dir", "mysql_dsn", "etcdRegistry.etcd_ca"];
        for (key, want) in [
            ("Port", Some("port")),
            ("logDir", Some("log_dir")),
            ("mysql-dns", Some("mysql_dsn")),
            ("etcdRegistry.etcd_caa", Some("etcdRegistry.etcd_ca")),
            ("pot", None),
            ("local_ip", None),
            ("", None),
        ] {
            assert_eq!(nearest(key, known.into_iter()), want, "{key}");
        }
    }

    #[test]
    fn counts_edits() {
        let count = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!((count("", "abc"), count("abc", ""), count("kitten", "sitting")), (3, 3, 3));
    }
}
