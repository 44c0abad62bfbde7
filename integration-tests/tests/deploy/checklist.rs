//! The checklist in the docs names tests that are there.

use bcs_integration_tests::workdir::repository;

#[test]
fn every_row_names_tests_that_exist() {
    let docs = std::fs::read_to_string(repository().join("docs/compatibility/deploy.md")).unwrap();
    let (_, list) = docs.split_once("## The checklist").unwrap();
    let rows: Vec<_> = list.lines().filter(|line| line.starts_with("| D-")).collect();
    assert!(rows.len() >= 30, "{}", rows.len());
    let mut named = 0;
    for row in rows {
        for test in row.split('`').skip(1).step_by(2) {
            let Some((place, name)) = test.split_once("::") else { continue };
            let path = match place.strip_suffix(".rs") {
                Some(_) => repository().join(place),
                None => repository().join(format!("integration-tests/tests/deploy/{place}.rs")),
            };
            let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{test}: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "{test}");
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}
