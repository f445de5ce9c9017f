//! Build scripts that reach beyond what they are for.
//!
//! Pure. Writing into the output folder is what a build script is for.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::Look;
use crate::gate::scan::is_test_path;

/// Added lines of a `build.rs` or `setup.py` that could change what is built or tested.
#[must_use]
pub fn build_script(look: &Look<'_>) -> Vec<Violation> {
    static RUST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"cargo::?(?:rustc-cfg|rustc-env|rustc-flags|rustc-link-arg|rustc-check-cfg)|Command::new|fs::(?:write|remove\w*|rename|copy|set_permissions|OpenOptions)|File::create|OpenOptions|process::exit|CARGO_MANIFEST_DIR",
        )
    });
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"subprocess|os\.(?:system|remove|rename|unlink|chmod)|shutil\.|open\([^)]*['\x22][wa]|cmdclass",
        )
    });
    let mut found = Vec::new();
    for view in look.views {
        let change = view.change;
        let reaches = match change.name() {
            "build.rs" if !is_test_path(&change.path) => &RUST,
            "setup.py" => &PYTHON,
            _ => continue,
        };
        let uses_out_dir = change.new.contains("OUT_DIR");
        for line in &change.added {
            let code = view.code(line.number);
            let writes_out =
                uses_out_dir && (code.contains("fs::write") || code.contains("File::create"));
            if reaches.is_match(code) && !writes_out {
                found.push(high(
                    "build_script",
                    format!("a build script that can hide a failure: {}", quote(&line.text)),
                    Where::line(&change.path, line.number),
                ));
            }
        }
    }
    found
}
