//! Which labels mean what. A label is set by people with write access, so it may decide what is
//! spent; text may not.

use serde::{Deserialize, Serialize};

/// Which labels mean what (`[escalation.labels]` of `foreman.toml`). Compared without regard to
/// case, as GitHub does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EscalationLabels {
    /// Default `architecture`.
    pub architecture: Vec<String>,
    /// Default `governance`.
    pub governance: Vec<String>,
    /// Default `multi-agent`.
    pub coordination: Vec<String>,
    /// Default `complexity:high`, `breaking-change`, `high-priority`.
    pub complexity_high: Vec<String>,
    /// Default `security`, `data-integrity`, `system-failure`, `governance-violation`.
    pub exempt: Vec<String>,
    /// Default `experimental`.
    pub experimental: Vec<String>,
    /// Default `optimization`.
    pub optimization: Vec<String>,
    /// Default `integration`.
    pub integration: Vec<String>,
}

impl EscalationLabels {
    /// Every label that lets more be spent: a dearer tier, or leave from count limits. The others
    /// only restrict.
    pub fn spending(&self) -> impl Iterator<Item = &String> {
        let Self {
            architecture,
            governance,
            coordination,
            complexity_high,
            exempt,
            experimental: _,
            optimization: _,
            integration: _,
        } = self;
        [architecture, governance, coordination, complexity_high, exempt].into_iter().flatten()
    }
}

impl Default for EscalationLabels {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            architecture: words(&["architecture"]),
            governance: words(&["governance"]),
            coordination: words(&["multi-agent"]),
            complexity_high: words(&["complexity:high", "breaking-change", "high-priority"]),
            exempt: words(&[
                "security",
                "data-integrity",
                "system-failure",
                "governance-violation",
            ]),
            experimental: words(&["experimental"]),
            optimization: words(&["optimization"]),
            integration: words(&["integration"]),
        }
    }
}
