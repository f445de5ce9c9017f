//! What `doctor` and its parts found, with what to do about it, and how that is shown.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Ok,
    Warn,
    /// Would stop a night.
    Fail,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    what: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, what, found: found.into(), advice: None });
    }

    pub(super) fn warn(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let advice = Some(advice.into()).filter(|advice| !advice.is_empty());
        self.0.push(Finding { level: Level::Warn, what, found: found.into(), advice });
    }

    pub(super) fn fail(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let advice = Some(advice.into()).filter(|advice| !advice.is_empty());
        self.0.push(Finding { level: Level::Fail, what, found: found.into(), advice });
    }
}

impl Findings {
    /// All of them, for people.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(lines).collect()
    }
}

fn lines(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok  ",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let mut out = format!("{level}  {:<13} {}\n", finding.what, finding.found);
    if let Some(advice) = &finding.advice {
        out.push_str(&format!("      {:<13} -> {advice}\n", ""));
    }
    out
}
