//! What makes the model worth comparing with.

#[test]
fn it_depends_on_nothing() {
    let manifest = include_str!("../Cargo.toml");
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies") {
            assert_eq!(line, "", "in {section}");
        }
    }
    assert!(manifest.contains("[dependencies]"));
}
