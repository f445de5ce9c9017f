//! Quota arithmetic: whether one more counted escalation fits.
//!
//! Owns the comparison and the default limits. The store counts, inside its own transaction.

use serde::{Deserialize, Serialize};

/// How many counted escalations are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaLimits {
    /// In any rolling 24 hours; default 50.
    pub daily: u32,
    /// In any rolling 3,600 seconds; default 10.
    pub hourly: u32,
    /// At once; default 5.
    pub concurrent: u32,
}

impl Default for QuotaLimits {
    fn default() -> Self {
        Self { daily: 50, hourly: 10, concurrent: 5 }
    }
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QuotaUsed {
    pub daily: u32,
    pub hourly: u32,
    pub concurrent: u32,
}

/// Which limit stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaWindow {
    Daily,
    Hourly,
    Concurrent,
}

impl QuotaWindow {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Hourly => "hourly",
            Self::Concurrent => "concurrent",
        }
    }
}

/// No further counted escalation fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{used} of {limit} escalations are used ({} limit)", window.as_str())]
pub struct QuotaRefusal {
    pub window: QuotaWindow,
    pub used: u32,
    pub limit: u32,
}

/// Whether one more fits; the widest window is named first.
pub fn quota_allows(used: QuotaUsed, limits: QuotaLimits) -> Result<(), QuotaRefusal> {
    for (window, used, limit) in [
        (QuotaWindow::Daily, used.daily, limits.daily),
        (QuotaWindow::Hourly, used.hourly, limits.hourly),
        (QuotaWindow::Concurrent, used.concurrent, limits.concurrent),
    ] {
        if used >= limit {
            return Err(QuotaRefusal { window, used, limit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_fits_and_the_next_does_not() {
        let limits = QuotaLimits::default();
        let used = |daily, hourly, concurrent| QuotaUsed { daily, hourly, concurrent };
        assert_eq!(quota_allows(used(49, 9, 4), limits), Ok(()));
        let window = |used| quota_allows(used, limits).map_err(|refusal| refusal.window);
        assert_eq!(window(used(50, 9, 4)), Err(QuotaWindow::Daily));
        assert_eq!(window(used(49, 10, 4)), Err(QuotaWindow::Hourly));
        assert_eq!(window(used(49, 9, 5)), Err(QuotaWindow::Concurrent));
    }
}
