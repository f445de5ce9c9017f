//! Reports of a day, a week or a month: what escalation cost, how it healed, and advice.
//!
//! Pure: the store gathers the facts of a period, this gives them their form. Never reads a clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use super::quota::QuotaLimits;
use crate::domain::money::Usd;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight, UTC.
    Daily,
    /// From Monday.
    Weekly,
    /// From the 1st.
    Monthly,
}

impl Period {
    pub const ALL: [Self; 3] = [Self::Daily, Self::Weekly, Self::Monthly];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// The period this day lies in: its first moment, and the first after it.
    #[must_use]
    pub fn around(self, day: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
        let (first, next) = match self {
            Self::Daily => (Some(day), day.checked_add_days(Days::new(1))),
            Self::Weekly => {
                let back = u64::from(day.weekday().num_days_from_monday());
                let monday = day.checked_sub_days(Days::new(back));
                (monday, monday.and_then(|day| day.checked_add_days(Days::new(7))))
            }
            Self::Monthly => {
                let first = day.with_day(1);
                (first, first.and_then(|day| day.checked_add_months(Months::new(1))))
            }
        };
        let midnight =
            |day: Option<NaiveDate>, or| day.unwrap_or(or).and_time(NaiveTime::MIN).and_utc();
        (midnight(first, day), midnight(next, NaiveDate::MAX))
    }

    /// The latest period that has ended.
    #[must_use]
    pub fn last_ended(self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let (from, _) = self.around(now.date_naive());
        self.before(from)
    }

    /// The period that ends where this one begins.
    #[must_use]
    pub fn before(self, from: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        self.around(from.date_naive().pred_opt().unwrap_or(NaiveDate::MIN))
    }

    /// How many ended periods are made up for after a time in which nothing ran.
    #[must_use]
    pub const fn made_up_for(self) -> usize {
        match self {
            Self::Daily => 31,
            Self::Weekly => 5,
            Self::Monthly => 12,
        }
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|period| period.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a period: daily, weekly, monthly"))
    }
}

/// How failed calls of a tier fared: healed where a later call of the same work was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Healing {
    pub tier: String,
    pub error_class: String,
    pub failures: u64,
    pub healed: u64,
}

/// What the ledger knows of a period.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportFacts {
    pub total_usd: Usd,
    pub calls: u64,
    pub failed_calls: u64,
    /// Booked at their estimate.
    pub unknown_charges: u64,
    /// Pieces of work that called a model.
    pub tasks: u64,
    pub escalations: u64,
    pub counted: u64,
    pub exempt: u64,
    pub fallbacks: u64,
    /// Times throttling was told of.
    pub throttled: u64,
    pub waiting: u64,
    pub violations: u64,
    pub by_justification: BTreeMap<String, Usd>,
    pub by_tier: BTreeMap<String, Usd>,
    pub by_reason: BTreeMap<String, u64>,
    /// Most counted escalations in one calendar day and one clock hour.
    pub busiest_day: u32,
    pub busiest_hour: u32,
    pub healing: Vec<Healing>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub period: Period,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// Whether the period has ended.
    pub complete: bool,
    pub average_per_task_usd: Usd,
    #[serde(flatten)]
    pub facts: ReportFacts,
    pub advice: Vec<String>,
}

impl Report {
    #[must_use]
    pub fn new(
        period: Period,
        (from, until): (DateTime<Utc>, DateTime<Utc>),
        now: DateTime<Utc>,
        limits: QuotaLimits,
        facts: ReportFacts,
    ) -> Self {
        let tasks = i64::try_from(facts.tasks.max(1)).unwrap_or(i64::MAX);
        let average = Usd::from_nanos(facts.total_usd.nanos() / tasks);
        let advice = advice(limits, &facts, average);
        Self {
            period,
            from,
            until,
            complete: until <= now,
            average_per_task_usd: average,
            facts,
            advice,
        }
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let facts = &self.facts;
        let last = self.until.date_naive().pred_opt().unwrap_or(self.until.date_naive());
        let mut out = format!(
            "Escalation, {} report of {} to {last}{}\n",
            self.period.as_str(),
            self.from.date_naive(),
            if self.complete { "" } else { " (so far)" },
        );
        let _ = writeln!(
            out,
            "  {} for {} tasks ({} each on average), {} calls: {} failed, {} of unknown charge",
            facts.total_usd,
            facts.tasks,
            self.average_per_task_usd,
            facts.calls,
            facts.failed_calls,
            facts.unknown_charges,
        );
        let _ = writeln!(
            out,
            "  {} escalations: {} counted, {} exempt; {} fell back; throttled {} times; {} wait for a person; {} violations",
            facts.escalations,
            facts.counted,
            facts.exempt,
            facts.fallbacks,
            facts.throttled,
            facts.waiting,
            facts.violations,
        );
        let _ = writeln!(
            out,
            "  busiest day {} and hour {} of counted escalations",
            facts.busiest_day, facts.busiest_hour
        );
        for (title, amounts) in
            [("By justification", &facts.by_justification), ("By tier", &facts.by_tier)]
        {
            if !amounts.is_empty() {
                let _ = writeln!(out, "{title}");
            }
            for (name, usd) in amounts {
                let _ = writeln!(out, "  {name:<24} {usd}");
            }
        }
        if !facts.by_reason.is_empty() {
            let _ = writeln!(out, "By reason");
        }
        for (reason, count) in &facts.by_reason {
            let _ = writeln!(out, "  {reason:<24} {count}");
        }
        if !facts.healing.is_empty() {
            let _ = writeln!(out, "Healing");
        }
        for row in &facts.healing {
            let _ = writeln!(
                out,
                "  {:<14} {:<20} {} of {} healed",
                row.tier, row.error_class, row.healed, row.failures
            );
        }
        for line in &self.advice {
            let _ = writeln!(out, "* {line}");
        }
        out
    }
}

/// What the figures suggest.
fn advice(limits: QuotaLimits, facts: &ReportFacts, average: Usd) -> Vec<String> {
    let near = |used: u32, limit: u32| used > 0 && u64::from(used) * 100 >= u64::from(limit) * 80;
    let mut advice = Vec::new();
    for (name, used, limit) in
        [("daily", facts.busiest_day, limits.daily), ("hourly", facts.busiest_hour, limits.hourly)]
    {
        if near(used, limit) {
            advice.push(format!(
                "{used} of {limit} escalations were used in one window: raise limits.{name}, or label less work as complex"
            ));
        }
    }
    let quiet = facts.busiest_day > 0 && facts.busiest_day * 5 < limits.daily;
    if quiet && facts.waiting == 0 {
        advice.push(format!(
            "at most {} of {} daily escalations were used: limits.daily could be lowered to {}",
            facts.busiest_day,
            limits.daily,
            facts.busiest_day * 2
        ));
    }
    if average > Usd::from_nanos(2_000_000_000) {
        advice.push(format!(
            "a task costs {average} on average, above $2.00, which throttles escalations: split large issues or choose a cheaper model for the dearer tiers"
        ));
    }
    for row in &facts.healing {
        if row.failures >= 3 && row.healed * 2 < row.failures {
            advice.push(format!(
                "{} failed {} times with {} and healed {} times: look at its provider, or give the tier another model",
                row.tier, row.failures, row.error_class, row.healed
            ));
        }
    }
    if facts.waiting > 0 {
        advice.push(format!(
            "{} requests wait for a person: `foreman escalation approvals`",
            facts.waiting
        ));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn periods_begin_where_the_design_says() {
        for (period, on, from, until) in [
            (Period::Daily, "2026-11-22", "2026-11-22", "2026-11-23"),
            (Period::Weekly, "2026-11-22", "2026-11-16", "2026-11-23"),
            (Period::Weekly, "2026-11-23", "2026-11-23", "2026-11-30"),
            (Period::Monthly, "2026-11-22", "2026-11-01", "2026-12-01"),
            (Period::Monthly, "2026-12-31", "2026-12-01", "2027-01-01"),
        ] {
            let (first, next) = period.around(day(on));
            assert_eq!((first.date_naive(), next.date_naive()), (day(from), day(until)));
        }
        let now = day("2026-12-01").and_time(NaiveTime::MIN).and_utc();
        for (period, from) in [
            (Period::Daily, "2026-11-30"),
            (Period::Weekly, "2026-11-23"),
            (Period::Monthly, "2026-11-01"),
        ] {
            let (first, next) = period.last_ended(now);
            assert!(next <= now);
            assert_eq!(first.date_naive(), day(from));
        }
    }

    fn report(facts: ReportFacts) -> Report {
        let range = Period::Daily.around(day("2026-11-22"));
        Report::new(Period::Daily, range, range.1, QuotaLimits::default(), facts)
    }

    #[test]
    fn advice_follows_the_figures() {
        let advised = |facts| report(facts).advice.join("\n");
        assert_eq!(advised(ReportFacts::default()), "");
        let full = advised(ReportFacts { busiest_day: 40, busiest_hour: 8, ..Default::default() });
        assert!(full.contains("limits.daily") && full.contains("limits.hourly"), "{full}");
        let quiet = advised(ReportFacts { busiest_day: 9, ..Default::default() });
        assert!(quiet.contains("lowered to 18"), "{quiet}");
        let dear = ReportFacts {
            total_usd: Usd::from_nanos(5_000_000_000),
            tasks: 2,
            ..Default::default()
        };
        assert!(advised(dear).contains("$2.50 on average"));
        let ill = |healed| ReportFacts {
            healing: vec![Healing {
                tier: "gpt-4".to_owned(),
                error_class: "server".to_owned(),
                failures: 4,
                healed,
            }],
            ..Default::default()
        };
        assert!(advised(ill(1)).contains("gpt-4 failed 4 times with server"));
        assert_eq!(advised(ill(2)), "");
    }

    #[test]
    fn a_report_reads_as_text_and_as_json() {
        let facts = ReportFacts {
            total_usd: Usd::from_nanos(2_575_000),
            tasks: 1,
            calls: 2,
            by_tier: BTreeMap::from([("gpt-5.1".to_owned(), Usd::from_nanos(2_575_000))]),
            ..Default::default()
        };
        let report = report(facts);
        let text = report.text();
        assert!(
            text.starts_with("Escalation, daily report of 2026-11-22 to 2026-11-22\n"),
            "{text}"
        );
        assert!(text.contains("$0.002575 for 1 tasks") && text.contains("gpt-5.1"), "{text}");
        let json = serde_json::to_value(&report).expect("json");
        assert_eq!(json["totalUsd"], 0.002_575);
        assert_eq!(json["period"], "daily");
        assert_eq!(serde_json::from_value::<Report>(json).expect("the same"), report);
    }
}
