//! Scripts and settings changed so that a failure is hidden, or so that less is run.
//!
//! Pure. Looks at the files whose exit code, targets or scripts a check goes by.

use std::sync::LazyLock;

use regex::Regex;

use super::runner::is_runner_hook;
use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed, Line};
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Look, View};
use crate::gate::scan::{Language, is_test_path};

/// `|| true` and its kin, in scripts and settings.
#[must_use]
pub fn hides(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        let change = view.change;
        let shell = view.language == Language::Shell;
        if !shell || is_named(look, change) || is_test_path(&change.path) {
            in_file(view, &mut found);
        }
    }
    found
}

/// What the checks run is not the builder's to say.
#[must_use]
pub fn replaced(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        let change = view.change;
        scripts_replaced(change, &mut found);
        recipes_replaced(view, &mut found);
        commands_replaced(change, &mut found);
        in_front(look, change, &mut found);
        if is_named(look, change) && view.language == Language::Shell {
            steps_dropped(view, &mut found);
        }
        let wrapper = matches!(change.name(), "gradlew" | "mvnw" | "gradle-wrapper.jar")
            || change.path.starts_with(".mvn/");
        if wrapper && change.kind != ChangeKind::Added {
            let what = format!("{} starts the build, and was changed", change.path);
            found.push(high("command_replaced", what, Where::file(&change.path)));
        }
    }
    found
}

/// Whether a command of the gate names the file.
fn is_named(look: &Look<'_>, change: &Changed) -> bool {
    look.commands.iter().any(|command| command.contains(change.name()))
}

/// Scripts and runner settings whose exit code is what a check goes by.
fn is_script(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    Language::of(path) == Language::Shell
        || matches!(
            name.as_str(),
            "makefile"
                | "gnumakefile"
                | "justfile"
                | "package.json"
                | "tox.ini"
                | "noxfile.py"
                | "taskfile.yml"
                | "dockerfile"
                | "pyproject.toml"
                | "setup.cfg"
                | "cargo.toml"
                | "rakefile"
                | "lefthook.yml"
                | "build.gradle"
                | "build.gradle.kts"
                | "pom.xml"
        )
        || [".yml", ".yaml", ".mk"].iter().any(|end| name.ends_with(end))
}

fn in_file(view: &View<'_>, found: &mut Vec<Violation>) {
    static HIDES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"\|\|\s*(?:true|:|exit 0|echo|/bin/true)\b|\|\|\s*:|;\s*(?:true|exit 0)\s*[\x22']?,?\s*$|",
            r"^\s*set \+e|continue-on-error|--no-run\b|^\s*exit 0\s*$|ignoreFailures|",
            r"testFailureIgnore|skipTests|--passWithNoTests|--exit-zero|--no-fail\b|--collect-only|",
            r#""(?:test|lint|build)"\s*:\s*"\s*(?:echo|true|:|exit 0|node -e)|^-\t|^\t-\S|\.IGNORE:|"#,
            r"^\s*trap\s.*\bEXIT|MAKEFLAGS.*-[a-z]*[ik]|^\s*SHELL\s*[:?]?=\s*\S*true|\.SHELLFLAGS|",
            r"ignore_outcome|success_codes|--cap-lints|^[\w.-]+\s*:\s*(?:export\s+)?SHELL\s*[:?+]?=|",
            r"^\s*(?:export\s+|override\s+)?PATH\s*(?:[:?+]=|\s=)|",
            r"<(?:skip|skipITs|maven\.test\.skip)>\s*true|onlyIf\s*[{(]\s*(?:\{\s*)?false|",
            r"(?:cargo test|pytest|jest|mocha|vitest|npm (?:run )?test|go test|clippy|mvn|unittest)\b[^|]*\|\s*(?:tee|cat|tail|head|grep)\b",
        ))
    });
    // Fewer of the tests there are.
    static NARROWS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"cargo (?:test|nextest)\b.*(?:--lib\b|--skip\b|--exclude\b|--bins?\b|--doc\b|--test\s)|",
            r"pytest\b.*(?:\s-k\b|--deselect|--ignore|\s-m\s+.?not|--lf\b|--maxfail)|go test\b.*-(?:run|skip|short)\b|",
            r"(?:jest|vitest|mocha)\b.*(?:\s-t\b|--testNamePattern|--testPathIgnore|--grep|--onlyChanged|--bail)|",
            r"-Dtest=|-x test\b|--tests\b",
        ))
    });
    // A target whose whole work is to say something.
    static SAYS_ONLY: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*@?-?\s*(?:echo|printf|true|:|exit 0)\b?"));
    let change = view.change;
    if !is_script(&change.path) && !is_runner_hook(&change.path) {
        return;
    }
    let bad = |text: &str| HIDES.is_match(text) || NARROWS.is_match(text);
    let gone = change.removed.iter().filter(|line| bad(&line.text)).count();
    let added = change.added.iter().filter(|line| bad(view.code(line.number)));
    let mut hits: Vec<&Line> = added.skip(gone).collect();
    for line in &change.added {
        if is_recipe(view, line)
            && SAYS_ONLY.is_match(line.text.trim_start())
            && !change.removed.is_empty()
        {
            hits.push(line);
        }
    }
    hits.sort_by_key(|line| line.number);
    hits.dedup_by_key(|line| line.number);
    for line in hits {
        found.push(high(
            "hides_failure",
            format!("a failure could be hidden: {}", quote(&line.text)),
            Where::line(&change.path, line.number),
        ));
    }
}

/// Whether an added line is a step of a Makefile's test, lint or build target.
fn is_recipe(view: &View<'_>, line: &Line) -> bool {
    let makefile = view.change.name().to_ascii_lowercase().contains("makefile");
    makefile && line.text.starts_with('\t') && of_check(view.change.new.lines(), line)
}

static CHECK_TARGET: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:test|check|lint|build|ci)[\w-]*\s*:"));

/// The checking target whose rule the line begins; settings of one target aside.
fn target_of(line: &str) -> Option<&str> {
    let head = CHECK_TARGET.find(line)?;
    let sets = line[head.end()..].split([';', '#']).next().is_some_and(|rest| rest.contains('='));
    (!sets).then(|| line[..head.end()].trim_end_matches(':').trim())
}

/// Whether the line stands below the head of a target that checks.
fn of_check<'t>(text: impl Iterator<Item = &'t str>, line: &Line) -> bool {
    let before: Vec<&str> = text.take(line.number as usize - 1).collect();
    before
        .iter()
        .rev()
        .find(|line| !line.starts_with(['\t', ' ', '#']) && !line.is_empty())
        .is_some_and(|head| CHECK_TARGET.is_match(head))
}

/// A step of a checking target that is gone, or is another one now.
fn recipes_replaced(view: &View<'_>, found: &mut Vec<Violation>) {
    let change = view.change;
    if !change.name().to_ascii_lowercase().contains("makefile") || change.new.is_empty() {
        return;
    }
    // The last rule of a target is the one that runs.
    let old_targets: Vec<&str> = change.old.lines().filter_map(target_of).collect();
    for line in &change.added {
        let again = target_of(&line.text).filter(|target| old_targets.contains(target));
        let heads = change.new.lines().filter(|it| target_of(it) == again).count();
        let next = change.new.lines().nth(line.number as usize).unwrap_or("");
        let works = line.text.contains(';') || next.starts_with('\t');
        if let Some(target) = again.filter(|_| heads > 1 && works) {
            let what = format!("what the checks run was replaced: `{target}` stands there again");
            found.push(high("command_replaced", what, Where::line(&change.path, line.number)));
        }
    }
    for line in &change.removed {
        let step = line.text.starts_with('\t') && of_check(change.old.lines(), line);
        let target = CHECK_TARGET.is_match(&line.text);
        if (step || target) && !still_there(&line.text, &change.added) {
            let what = format!("what the checks run was replaced: {}", quote(&line.text));
            found.push(high("command_replaced", what, Where::file(&change.path)));
        }
    }
}

/// In tox's and nox's files and the like, a line that runs a checking tool is gone.
fn commands_replaced(change: &Changed, found: &mut Vec<Violation>) {
    static RUNS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"\b(?:pytest|unittest|tox|ruff|mypy|flake8|pylint|coverage run|cargo|jest|vitest|mocha|eslint|tsc|go (?:test|vet)|mvn|gradle)\b",
        )
    });
    let name = change.name().to_ascii_lowercase();
    let runner = matches!(
        name.as_str(),
        "tox.ini" | "noxfile.py" | "justfile" | "taskfile.yml" | "tasks.py"
    );
    if !runner || change.new.is_empty() {
        return;
    }
    // A dash before a command of tox means that it may fail.
    static MAY_FAIL: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*(?:commands\w*\s*=\s*)?-\s+\S"));
    for line in change.added.iter().filter(|it| name == "tox.ini" && MAY_FAIL.is_match(&it.text)) {
        let what = format!("a failure could be hidden: {}", quote(&line.text));
        found.push(high("hides_failure", what, Where::line(&change.path, line.number)));
    }
    for line in change.removed.iter().filter(|line| RUNS.is_match(&line.text)) {
        let installs = ["deps", "install", "import"].iter().any(|word| line.text.contains(word));
        let text = line.text.trim_start();
        let runs =
            text.strip_prefix("commands").map_or(text, |it| it.trim_start_matches([' ', '=']));
        if !installs && !still_there(runs, &change.added) {
            let what = format!("what the checks run was replaced: {}", quote(&line.text));
            found.push(high("command_replaced", what, Where::file(&change.path)));
        }
    }
}

/// A file that a tool takes before the one there was.
fn in_front(look: &Look<'_>, change: &Changed, found: &mut Vec<Violation>) {
    let before: &[&str] = match change.name() {
        "GNUmakefile" => &["makefile", "Makefile"],
        "makefile" => &["Makefile"],
        _ => return,
    };
    let (folder, _) = change.path.rsplit_once('/').unwrap_or(("", &change.path));
    let there = |name: &&str| {
        let path = if folder.is_empty() { (*name).to_owned() } else { format!("{folder}/{name}") };
        look.paths.contains(&path)
    };
    if change.kind == ChangeKind::Added && before.iter().any(there) {
        let what = format!("make would take {} instead of the file it takes now", change.path);
        found.push(high("command_replaced", what, Where::file(&change.path)));
    }
}

/// Whether all words of a line are in one of the added ones.
fn still_there(text: &str, added: &[Line]) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    added.iter().any(|line| {
        let now: Vec<&str> = line.text.split_whitespace().collect();
        words.iter().all(|word| now.contains(word))
    })
}

/// A script that the gate runs no longer runs something.
fn steps_dropped(view: &View<'_>, found: &mut Vec<Violation>) {
    static RUNS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^\s*(?:set -|exit\b|cargo|pytest|python|npm|npx|node|go |make|mvn|sh |bash |\./|diff |cmp |test |\[|ruff|mypy|eslint|tsc)",
        )
    });
    for line in &view.change.removed {
        if RUNS.is_match(&line.text) && !still_there(&line.text, &view.change.added) {
            let what =
                format!("the script that the checks run does less: {} is gone", quote(&line.text));
            found.push(high("command_replaced", what, Where::file(&view.change.path)));
        }
    }
}

/// In `package.json`, a changed test, lint or build script, or one that runs before or after.
fn scripts_replaced(change: &Changed, found: &mut Vec<Violation>) {
    static SCRIPT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"^\s*"((?:pre|post)?(?:test|lint|build|check)(?::\w+)?)"\s*:"#));
    static HOOK: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"^\s*"((?:pre|post)(?:test|lint|build|check|install)|prepare|preinstall)"\s*:"#)
    });
    if change.name() != "package.json" || change.old.is_empty() {
        return;
    }
    for line in &change.removed {
        let Some(script) = SCRIPT.captures(&line.text) else { continue };
        let name = &script[1];
        let now = change.added.iter().find(|new| new.text.contains(&format!("\"{name}\"")));
        let same = now.is_some_and(|new| {
            new.text.trim().trim_end_matches(',') == line.text.trim().trim_end_matches(',')
        });
        if !same {
            found.push(high(
                "command_replaced",
                format!("the script `{name}` that the checks run was changed"),
                Where::line(&change.path, now.map_or(line.number, |new| new.number)),
            ));
        }
    }
    for line in &change.added {
        let Some(hook) = HOOK.captures(&line.text) else { continue };
        if !change.removed.iter().any(|old| old.text.contains(&format!("\"{}\"", &hook[1]))) {
            found.push(high(
                "command_replaced",
                format!("the script `{}` would run around the checks", &hook[1]),
                Where::line(&change.path, line.number),
            ));
        }
    }
}
